"""Preference training: the losses, what the reference gives, and the run as a whole."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_chat import another_tokenizer, publish_model, tiny_model
from tiny_corpus import quiet_context
from tiny_pairs import CONFIG, SEED, changed, judged, pair, publish_pairs
from torch import Tensor

from lumilab.artifact import Artifact, walk
from lumilab.errors import DamageError, Interrupted, MismatchError
from lumilab.inference.sampler import answer_prompts
from lumilab.model import Transformer
from lumilab.posttraining.comparisons import JudgedAnswers, Pairs, widths_for
from lumilab.posttraining.examples import Examples
from lumilab.posttraining.preference import Preferences, preference
from lumilab.posttraining.template import Rendered
from lumilab.posttraining.visits import visited
from lumilab.recipe.preference import PreferenceConfig
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.objective import UNTRAINED
from lumilab.training.run import Sample
from lumilab.work.stopping import StopRequest


@pytest.fixture(scope="module")
def base(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_model(tmp_path_factory.mktemp("base") / "final", tokenizer_artifact)


@pytest.fixture(scope="module")
def pairs(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_pairs(tmp_path_factory.mktemp("pairs"), tokenizer_artifact, [pair(number) for number in range(40)])


@pytest.fixture(scope="module")
def verdicts(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rows = [judged(number) for number in range(40)]
    return publish_pairs(tmp_path_factory.mktemp("judged"), tokenizer_artifact, rows, verdicts=True)


def objective(
    data: Artifact, base: Artifact, folder: Path, config: PreferenceConfig = CONFIG, model: Transformer | None = None
) -> Preferences:
    """The objective with its reference, for rows of this data."""
    made = Preferences(data, config, SEED, 0, 128)
    model = model or load_model(base).model
    made.compare_with(model, {"base": base, "pairs": data}, folder, quiet_context()[0])
    return made


def run(
    target: Path, base: Artifact, pairs: Artifact, tokenizer: Artifact, config: PreferenceConfig = CONFIG, **more: Any
) -> Artifact:
    return preference(config, SEED, base, pairs, tokenizer, target, quiet_context()[0], **more)


def logged(artifact: Artifact, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (artifact.path.parent / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def by_hand(model: Transformer, example: Rendered) -> Tensor:
    """The summed log-probability of a sequence's trained tokens; no batch, no padding."""
    ids = torch.tensor(example.ids)
    scores = model(ids[None, :-1])[0].log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
    return scores[torch.tensor(example.trained[1:])].sum()


# --- batches and reference ------------------------------------------------------------------------------------------


def test_scores_are_those_of_each_answer_alone(pairs: Artifact, base: Artifact, tmp_path: Path) -> None:
    model, examples = load_model(base).model, Examples.open(pairs, "train")
    batch = objective(pairs, base, tmp_path).batch(0)
    for row, number in enumerate(visited(range(4), len(examples) // 2, SEED, "preference")):
        alone = torch.stack([by_hand(model, examples.rendered(2 * number + side)) for side in range(2)])
        torch.testing.assert_close(batch.reference[row], alone.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["dpo", "ipo", "orpo", "kto"])
def test_the_first_loss_is_the_known_one(
    name: str, pairs: Artifact, verdicts: Artifact, base: Artifact, tmp_path: Path
) -> None:
    config = changed(objective=name)
    made = objective(verdicts if name == "kto" else pairs, base, tmp_path, config)
    batch = made.batch(0)
    sums = made.loss(load_model(base).model, batch).detach()
    loss = float(sums[0]) / int(batch.divisor())
    measures = made.measures((sums[1:] / batch.divisor()).tolist())
    first = {"dpo": math.log(2), "ipo": (1 / (2 * 0.1)) ** 2, "kto": 0.5}
    if name in first:
        assert loss == pytest.approx(first[name], abs=1e-5)
        assert measures["rewards/chosen"] == pytest.approx(0, abs=1e-5)
        assert measures["rewards/rejected"] == pytest.approx(0, abs=1e-5)
    else:
        assert loss > math.log(2) * 0.1
    assert measures["logps/chosen"] < 0


def test_smoothing_does_not_move_the_first_loss(pairs: Artifact, base: Artifact, tmp_path: Path) -> None:
    made = objective(pairs, base, tmp_path, changed(label_smoothing=0.2))
    batch = made.batch(1)
    loss = made.loss(load_model(base).model, batch).detach()[0] / batch.divisor()
    assert float(loss) == pytest.approx(math.log(2), abs=1e-5)


def test_every_row_is_seen_once_an_epoch_and_padding_counts_for_nothing(
    pairs: Artifact, base: Artifact, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    made = objective(pairs, base, tmp_path, changed(batch_size=1))
    count = len(Pairs(pairs, "train"))
    seen = {made.batch(step).ids.numpy().tobytes() for step in range(count)}
    assert len(seen) == count == made.epoch_steps
    model = tiny_model(tokenizer, seed=5)
    validation = len(Pairs(pairs, "validation"))
    whole, pieces = (
        sum(made.loss(model, batch).detach() for batch in made.validation(rows)) for rows in (validation, 3)
    )
    torch.testing.assert_close(whole, pieces, rtol=1e-5, atol=1e-4)
    assert sum(int(batch.divisor()) for batch in made.validation(3)) == validation


def test_a_few_widths_serve_all_lengths() -> None:
    assert widths_for(100, 128) == [32, 64, 112]
    assert widths_for(1000, 1024) == [256, 512, 1008]
    assert widths_for(60, 60) == [16, 32, 60]
    assert widths_for(3, 128) == [16]


def test_the_kept_reference_is_the_one_worked_out(pairs: Artifact, base: Artifact, tmp_path: Path) -> None:
    first = objective(pairs, base, tmp_path)
    (kept,) = tmp_path.glob("reference-*")
    content = (kept / "train.npy").read_bytes()
    again = objective(pairs, base, tmp_path, model=tiny_model(Tokenizer.load(base.path), seed=99))  # never asked
    shutil.rmtree(kept)
    anew = objective(pairs, base, tmp_path)
    for made in (again, anew):
        assert torch.equal(made.batch(2).reference, first.batch(2).reference)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert (kept / "train.npy").read_bytes() == content


def test_another_model_or_other_rows_have_another_reference(
    pairs: Artifact, verdicts: Artifact, base: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    other = publish_model(tmp_path / "other", tokenizer_artifact, tiny_model(Tokenizer.load(base.path), seed=5))
    folder = tmp_path / "kept"
    objective(pairs, base, folder)
    objective(pairs, other, folder)
    objective(verdicts, base, folder, changed(objective="kto"))
    objective(pairs, base, folder, changed(objective="kto"))
    assert len(list(folder.glob("reference-*"))) == 4


def test_a_damaged_reference_is_made_anew(pairs: Artifact, base: Artifact, tmp_path: Path) -> None:
    first = objective(pairs, base, tmp_path).batch(0).reference
    (kept,) = tmp_path.glob("reference-*")
    (kept / "train.npy").write_bytes(b"nothing")
    assert torch.equal(objective(pairs, base, tmp_path).batch(0).reference, first)


def test_a_stopped_reference_goes_on(
    pairs: Artifact, base: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lumilab.posttraining.reference.PART", 8)
    whole = objective(pairs, base, tmp_path / "whole")
    made = Preferences(pairs, CONFIG, SEED, 0, 128)
    context = replace(quiet_context()[0], stop=StoppedLater(checks=3))
    with pytest.raises(Interrupted):
        made.compare_with(load_model(base).model, {"base": base, "pairs": pairs}, tmp_path / "cut", context)
    parts = list((tmp_path / "cut").glob(".reference-*.work/*.npy"))
    assert len(parts) == 3
    parts[0].write_bytes(b"cut short")
    assert torch.equal(objective(pairs, base, tmp_path / "cut").batch(3).reference, whole.batch(3).reference)


class StoppedLater(StopRequest):
    """Asked to stop after so many safe points."""

    def __init__(self, checks: int) -> None:
        super().__init__()
        self.checks = checks

    def check(self) -> None:
        self.checks -= 1
        if self.checks < 0:
            self.request(2)
        super().check()


# --- KTO's rows -----------------------------------------------------------------------------------------------------


def test_the_other_answer_is_of_another_prompt(verdicts: Artifact, pairs: Artifact, tokenizer: Tokenizer) -> None:
    for data in (verdicts, pairs):  # of pairs, the next answer has the same prompt
        rows = JudgedAnswers(data, "train")
        for number in range(len(rows)):
            (own, own_labels), (mixed, labels) = rows.sides(number)
            prompt = int(np.argmax(own_labels != UNTRAINED))
            assert mixed[:prompt].tolist() == own[:prompt].tolist()
            answers = [tokenizer.decode(each[each != UNTRAINED].tolist()) for each in (own_labels, labels)]
            assert answers[0].split()[-1] != answers[1].split()[-1]  # both end with their prompt's number
    assert [JudgedAnswers(pairs, "train").good(number) for number in range(4)] == [True, False, True, False]


def test_single_answers_are_not_for_dpo(verdicts: Artifact) -> None:
    with pytest.raises(MismatchError, match="objective to kto"):
        Preferences(verdicts, CONFIG, SEED, 0, 128)


def test_damaged_verdicts_are_found(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    data = publish_pairs(tmp_path, tokenizer_artifact, [pair(number) for number in range(9)])
    path = data.path / "train" / "verdicts.npy"
    found = np.load(path)
    np.save(path, 1 - found)
    with pytest.raises(DamageError, match="verdicts"):
        Pairs(data, "train")


# --- the run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(
    base: Artifact, pairs: Artifact, tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    config = changed(sample_every=3, sample_prompts=["river 1?"], steps=12, log_every=2)
    sampling = SamplingConfig(temperature=0.0, max_tokens=5)
    sampler = answer_prompts(tokenizer_artifact, config.sample_prompts, sampling)
    target = tmp_path_factory.mktemp("run") / "preference" / "key" / "final"
    return run(target, base, pairs, tokenizer_artifact, config, sampler=sampler)


def test_preferences_are_learned_and_logged(done: Artifact) -> None:
    steps, validations = logged(done, "step"), logged(done, "validation")
    names = ("chosen", "rejected", "margins", "accuracies")
    assert all(f"rewards/{name}" in line for line in steps + validations for name in names)
    assert validations[-1]["rewards/accuracies"] == 1.0
    assert validations[-1]["loss"] < math.log(2) * 0.9
    last = validations[-1]
    assert last["rewards/margins"] == pytest.approx(last["rewards/chosen"] - last["rewards/rejected"])
    assert logged(done, "sample")
    assert done.manifest.config["stage"] == "preference"
    assert [problem for step in walk(done.path) for problem in step.problems] == []


@pytest.mark.parametrize("changes", [{}, {"adapter": {"rank": 4}}], ids=["all weights", "adapter"])
def test_a_stopped_run_ends_with_the_same_weights(
    changes: dict[str, Any], base: Artifact, pairs: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    config = changed(**changes)
    whole = run(tmp_path / "whole" / "key" / "final", base, pairs, tokenizer_artifact, config)
    target = tmp_path / "stopped" / "key" / "final"
    context, _ = quiet_context()

    def stop_in_the_middle(model: Transformer, step: int) -> list[Sample]:
        context.stop.request(2)
        return []

    with pytest.raises(Interrupted):
        preference(
            config.model_copy(update={"sample_every": 5}),
            SEED, base, pairs, tokenizer_artifact, target, context, stop_in_the_middle,
        )  # fmt: skip
    assert (target.parent / "latest").read_text().strip() == "step_000005"
    assert run(target, base, pairs, tokenizer_artifact, config).digest == whole.digest


def test_an_adapter_learns_too(base: Artifact, pairs: Artifact, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    config = changed(adapter={"rank": 4}, optimizer={"learning_rate": 0.01})
    found = run(tmp_path / "preference" / "key" / "final", base, pairs, tokenizer_artifact, config)
    steps = logged(found, "step")
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)  # a new adapter changes nothing
    assert steps[-1]["loss"] < math.log(2)
    assert (found.path / "adapter" / "adapter_model.safetensors").exists()


def test_micro_batches_give_the_same_steps(
    base: Artifact, pairs: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    losses = []
    for rows in (None, 2):
        target = tmp_path / str(rows) / "key" / "final"
        found = run(target, base, pairs, tokenizer_artifact, changed(micro_batch_size=rows))
        losses.append(
            [[line["loss"], line["rewards/margins"], line["gradient_norm"]] for line in logged(found, "step")]
        )
    assert np.allclose(*losses, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(
    base: Artifact, pairs: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match="tokenizer"):
        run(tmp_path / "final", base, pairs, another_tokenizer(tmp_path / "other"))
    with pytest.raises(MismatchError, match=r"preference\.max_tokens"):
        Preferences(pairs, CONFIG, SEED, 0, 8)
