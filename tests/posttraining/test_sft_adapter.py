"""Fine-tuning an adapter on the one loop: what is trained, saved, gone on with and published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_chat import WINDOW
from tiny_corpus import quiet_context
from tiny_sft import CONFIG, run

from lumilab.artifact import Artifact
from lumilab.errors import MismatchError
from lumilab.model import Transformer
from lumilab.posttraining.adapters import load_adapter, merge_adapter
from lumilab.posttraining.sft import AnswerTokens, sft
from lumilab.recipe.adapter import AdapterConfig
from lumilab.recipe.finetuning import SftConfig
from lumilab.recipe.training import AverageConfig, OptimizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.run import Sample

ADAPTED = CONFIG.model_copy(update={"adapter": AdapterConfig(rank=4, alpha=8.0, dropout=0.1)})


@pytest.fixture(scope="module")
def tuned(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    config = ADAPTED.model_copy(update={"steps": 40, "optimizer": OptimizerConfig(learning_rate=2e-2)})
    return run(tmp_path_factory.mktemp("tuned") / "final", base, conversations, tokenizer_artifact, config)


def test_the_adapter_learns_to_answer(
    tuned: Artifact, base: Artifact, conversations: Artifact, tokenizer: Tokenizer
) -> None:
    objective = AnswerTokens(conversations, WINDOW, CONFIG, 5, tokenizer.pad_id)

    def validation_loss(model: Transformer) -> float:
        with torch.no_grad():
            return sum(float(objective.loss(model, batch)) for batch in objective.validation(3))

    assert validation_loss(load_model(tuned).model) < 0.8 * validation_loss(load_model(base).model)


def test_the_checkpoint_has_merged_weights_and_the_adapter_beside_them(tuned: Artifact, base: Artifact) -> None:
    before, after = load_model(base).model, load_model(tuned).model
    load_adapter(before, tuned.path / "adapter")
    merge_adapter(before)
    merged = before.state_dict()
    assert all(torch.equal(merged[name], weight) for name, weight in after.state_dict().items())
    plain = load_model(base).model.state_dict()
    changed = {name for name, weight in after.state_dict().items() if not torch.equal(plain[name], weight)}
    assert changed == {name for name in plain if name.endswith("_proj.weight")}


def test_a_state_holds_the_adapter_only(tuned: Artifact) -> None:
    state = tuned.path.parent / "step_000040"
    names = set(load_file(state / "model.safetensors"))
    assert names == {name for name in names if ".lora_A." in name or ".lora_B." in name}
    assert {name.partition(":")[0] for name in load_file(state / "optimizer.safetensors")} == names
    with pytest.raises(MismatchError, match="holds an adapter only"):
        load_model(state)


AVERAGED = ADAPTED.model_copy(update={"ema": AverageConfig(decay=0.9), "publish": "best"})


@pytest.mark.parametrize("config", [ADAPTED, AVERAGED], ids=["plain", "averaged, best"])
def test_a_stopped_run_goes_on_to_the_same_weights(
    config: SftConfig, base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    config = config.model_copy(update={"sample_every": 1})
    whole = run(tmp_path / "whole" / "final", base, conversations, tokenizer_artifact, config)
    context, _ = quiet_context()

    def stop_at_four(model: Transformer, step: int) -> list[Sample]:
        if step == 4:
            context.stop.request(2)
        return []

    target = tmp_path / "parts" / "final"
    with pytest.raises(BaseException, match="Stopped"):
        sft(config, WINDOW, 5, base, conversations, tokenizer_artifact, target, context, sampler=stop_at_four)
    assert not target.exists()
    assert run(target, base, conversations, tokenizer_artifact, config).digest == whole.digest
