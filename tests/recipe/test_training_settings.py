"""Training's settings that need one another: refused when the recipe is built, by name."""

from __future__ import annotations

import pytest

from lumilab.errors import ConfigError
from lumilab.recipe import load_recipe

PHASE = "pretrain.mixture.phases=[{{weights: {{{name}: 1.0}}}}]"


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_recipe("quickstart", list(words))
    return str(error.value)


def test_a_mixture_names_sources_of_the_corpus() -> None:
    assert load_recipe("quickstart", [PHASE.format(name="python")]).recipe.pretrain.mixture.phases
    told = refused(PHASE.format(name="pyhton"))
    assert "pretrain.mixture.phases.0.weights names pyhton" in told and "the sources are python" in told
    renamed = ["corpus.sources.0.name=code", PHASE.format(name="code")]
    assert load_recipe("quickstart", renamed).recipe.pretrain.mixture.phases[0].weights == {"code": 1.0}


def test_what_is_of_pretraining_alone_is_refused_for_sft() -> None:
    told = refused("sft.mixture.phases=[{weights: {python: 1.0}}]")
    assert "sft: mixture mixes the sources of pretraining" in told
    assert "sft: document_mask is for pretraining" in refused("sft.document_mask=true")


def test_what_an_adapter_cannot_have_is_refused() -> None:
    adamw = "sft.optimizer.name=adamw"
    assert load_recipe("quickstart", ["sft.adapter={}", adamw]).recipe.sft.adapter is not None
    assert "sft: optimizer.name is muon" in refused("sft.adapter={}", "sft.optimizer.name=muon")
    assert "sft: parallel is fsdp" in refused("sft.adapter={}", adamw, "sft.parallel=fsdp")
    assert "lm_head" in refused("sft.adapter.targets=[lm_head]", adamw)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("pretrain.validate_every=1.5", "pretrain.validate_every: this must be a whole number, but got 1.5"),
        ("pretrain.validate_every=0", "a share of an epoch"),
        ("pretrain.micro_batch_size=3", "batch_size (8) must be a multiple of micro_batch_size (3)"),
        ("pretrain.micro_batch_size=most", "Where: pretrain.micro_batch_size (command line)"),
        ("pretrain.early_stopping=0", "pretrain.early_stopping"),
        ("pretrain.ema.decay=1", "pretrain.ema.decay"),
        ("pretrain.dtype=float8", "pretrain.dtype"),
        ("pretrain.spike_sigmas=-1", "pretrain.spike_sigmas"),
    ],
)
def test_what_cannot_be_is_named(word: str, told: str) -> None:
    assert told in refused(word)


@pytest.mark.parametrize(
    ("word", "value"),
    [("0.25", 0.25), ("20", 20), ("null", None)],
)
def test_validations_by_steps_by_share_or_left_open(word: str, value: float | None) -> None:
    assert load_recipe("quickstart", [f"pretrain.validate_every={word}"]).recipe.pretrain.validate_every == value
