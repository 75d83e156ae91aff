"""The measured cost of fewer bits."""

from __future__ import annotations

from pathlib import Path

from tiny_chat import publish_model
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.quantisation import quantisation_costs
from lumilab.tokenizer.load import Tokenizer


def test_fewer_bits_take_less_room_and_cost_little(
    tmp_path: Path, tokenizer_artifact: Artifact, tokenizer: Tokenizer, dataset: Artifact
) -> None:
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact)
    text = HeldBackText.of(dataset, tokenizer, 8)
    costs = quantisation_costs(checkpoint.path, text, quiet_context()[0])
    assert [cost.kind for cost in costs] == ["none", "bf16", "int8", "int4"]
    assert [cost.bytes for cost in costs] == sorted((cost.bytes for cost in costs), reverse=True)
    losses = [cost.prediction.loss for cost in costs]
    assert all(abs(loss - losses[0]) < limit for loss, limit in zip(losses, (1e-9, 0.05, 0.05, 0.5), strict=True))
    assert len({cost.prediction.tokens for cost in costs}) == 1
