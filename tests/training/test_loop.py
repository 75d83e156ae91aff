"""The loop: what it computes, and that stopping, saving, logging and sampling change nothing of it."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import quiet_context
from tiny_model import QWEN3, VOCABULARY
from tiny_training import CONFIG, Counting, changed, fresh_model, states_in
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from lumilab.errors import ConfigError, InputError, Interrupted, ResourceError, TimeLimitReached
from lumilab.model import Transformer, hf_config
from lumilab.recipe.training import ScheduleConfig, TrainingConfig
from lumilab.training.loop import train
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.training.run import Sample, Sampler
from lumilab.training.schedules import learning_rate_share
from lumilab.training.states import Progress

Weights = dict[str, Tensor]


def run(
    folder: Path,
    config: TrainingConfig = CONFIG,
    objective: Counting | None = None,
    sampler: Sampler | None = None,
    stop_at: int | None = None,
) -> tuple[Weights, Progress, str]:
    """Trains in a folder; with `stop_at`, a stop is asked for when that step's batch is made."""
    context, said = quiet_context()
    objective = objective or Counting()
    if stop_at is not None:
        objective.on_batch = lambda step: context.stop.request(15) if step == stop_at else None
    model = fresh_model()
    progress = train(model, objective, config, states_in(folder, config), context, seed=5, sampler=sampler)
    return dict(model.state_dict()), progress, said.getvalue()


def log(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def same(one: Weights, other: Weights) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Path]:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder)[0], folder


def test_twenty_steps_are_those_of_transformers_and_plain_pytorch(tmp_path: Path) -> None:
    """The reference is written out here with Hugging Face's model, torch's AdamW and its clipping."""
    config = changed(steps=20, micro_batch_size=2, schedule=ScheduleConfig(name="linear", warmup=0.2))
    run(tmp_path, config)
    reference = Qwen3ForCausalLM(Qwen3Config(**hf_config(QWEN3, VOCABULARY, bos_id=1, eos_id=2, pad_id=None)))  # type: ignore[arg-type]
    reference.load_state_dict(fresh_model().state_dict(), strict=False)
    reference.tie_weights()
    plain = [p for name, p in reference.named_parameters() if p.ndim == 1 or "embed" in name]
    decayed = [p for name, p in reference.named_parameters() if not (p.ndim == 1 or "embed" in name)]
    optimizer = torch.optim.AdamW(
        [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.1}], lr=0.01, betas=(0.9, 0.95)
    )
    for step, line in enumerate(log(tmp_path, "step")):
        batch = Counting().batch(step)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(reference(batch.ids).logits.flatten(0, 1), batch.labels.flatten())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * learning_rate_share(step, 20, config.schedule)
        optimizer.step()
        assert line["step"] == step + 1
        assert line["loss"] == pytest.approx(loss.item(), abs=1e-4)
        assert line["gradient_norm"] == pytest.approx(norm.item(), rel=1e-2)
        assert line["learning_rate"] == optimizer.param_groups[0]["lr"]
    assert log(tmp_path, "step")[-1]["loss"] < 0.7 * log(tmp_path, "step")[0]["loss"]


def test_two_runs_are_one(tmp_path: Path, whole: tuple[Weights, Path]) -> None:
    assert same(run(tmp_path)[0], whole[0])


@pytest.mark.parametrize("stops", [[0], [3], [11], [1, 2, 7], list(range(12))])
def test_stopped_and_resumed_is_as_if_never_stopped(
    tmp_path: Path, whole: tuple[Weights, Path], stops: list[int]
) -> None:
    for stop in stops:
        with pytest.raises(Interrupted) as stopped:
            run(tmp_path, stop_at=stop)
        assert stopped.value.exit_code == 143
        assert (tmp_path / "latest").read_text() == f"step_{stop + 1:06d}\n"
    weights, progress, said = run(tmp_path)
    assert progress.step == 12
    assert f"Going on from step {stops[-1] + 1}" in said
    assert same(weights, whole[0])
    assert [line["step"] for line in log(tmp_path, "step")] == list(range(1, 13))
    for line, expected in zip(log(tmp_path, "step"), log(whole[1], "step"), strict=True):
        assert line["loss"] == expected["loss"] and line["smoothed_loss"] == expected["smoothed_loss"]
    told, expected_told = log(tmp_path, "validation"), log(whole[1], "validation")
    assert [(line["step"], line["loss"]) for line in told] == [(line["step"], line["loss"]) for line in expected_told]
    assert (tmp_path / "best").read_text() == (whole[1] / "best").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"micro_batch_size": 1},
        {"optimizer": {"name": "muon", "learning_rate": 0.01}},
        {"dtype": "bfloat16"},
    ],
    ids=["micro-batches", "muon", "bfloat16"],
)
def test_every_way_of_training_resumes_exactly(tmp_path: Path, change: dict[str, Any]) -> None:
    config = changed(**change)
    expected = run(tmp_path / "whole", config)[0]
    for stop in (2, 6):
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", config, stop_at=stop)
    assert same(run(tmp_path / "stopped", config)[0], expected)


def test_runtime_settings_change_no_weight(tmp_path: Path, whole: tuple[Weights, Path]) -> None:
    config = changed(
        validate_every=1, validation_windows=1, checkpoint_every=1, keep_checkpoints=1, log_every=5, sample_every=2
    )
    weights, _, said = run(tmp_path, config, sampler=wild_sampler)
    assert same(weights, whole[0])
    assert "tell me ⟶ at step 2" in said
    assert [(line["step"], line["text"]) for line in log(tmp_path, "sample")] == [
        (step, f"at step {step}") for step in range(2, 13, 2)
    ]
    assert [line["step"] for line in log(tmp_path, "step")] == [5, 10, 12]
    assert [line["step"] for line in log(tmp_path, "validation")] == list(range(1, 13))


def wild_sampler(model: Transformer, step: int) -> list[Sample]:
    """Draws from every global generator, as a careless sampler would."""
    assert not model.training and not torch.is_grad_enabled()
    torch.rand(3), random.random(), np.random.rand()
    return [Sample("tell me", f"at step {step}")]


def test_micro_batches_only_round_differently(tmp_path: Path, whole: tuple[Weights, Path]) -> None:
    weights = run(tmp_path, changed(micro_batch_size=1))[0]
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, whole[0][name], atol=1e-4, rtol=1e-3)


class Spoiled(Counting):
    """A loss that is not a number in some steps."""

    def __init__(self, steps: set[int]) -> None:
        super().__init__(on_batch=self._note)
        self.steps, self.now = steps, 0

    def _note(self, step: int) -> None:
        self.now = step

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        loss = super().loss(model, batch)
        return loss * float("nan") if self.now in self.steps and model.training else loss


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    weights, progress, said = run(tmp_path / "two", objective=Spoiled({3, 8}))
    assert (progress.skipped, progress.skipped_in_row, progress.step) == (2, 0, 12)
    assert said.count("no update from this batch") == 2
    assert [line["step"] for line in log(tmp_path / "two", "skipped")] == [4, 9]
    assert all(math.isfinite(float(tensor.sum())) for tensor in weights.values())


def test_too_many_in_a_row_end_the_run_with_advice_and_keep_what_was_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 steps in a row were skipped") as error:
        run(tmp_path, changed(max_skipped_steps=2), objective=Spoiled(set(range(5, 12))))
    assert error.value.exit_code == 2 and "learning rate" in str(error.value)
    assert (tmp_path / "latest").read_text() == "step_000005\n"


def test_a_batch_without_anything_to_train_is_an_error(tmp_path: Path) -> None:
    class Masked(Counting):
        def batch(self, step: int) -> Batch:
            batch = super().batch(step)
            return Batch(batch.ids, torch.full_like(batch.labels, UNTRAINED)) if step == 2 else batch

    with pytest.raises(InputError, match="step 2 has no token to train on"):
        run(tmp_path, objective=Masked())


def test_a_time_limit_saves_and_asks_to_be_run_again(tmp_path: Path, whole: tuple[Weights, Path]) -> None:
    config = changed(time_limit="0s")
    with pytest.raises(TimeLimitReached) as stopped:
        run(tmp_path, config)
    assert stopped.value.exit_code == 75 and "time limit of 0s" in str(stopped.value)
    assert (tmp_path / "latest").read_text() == "step_000001\n"  # a retry loop gets to the end
    slow = Counting(on_batch=lambda step: time.sleep(0.2 if step == 3 else 0))
    with pytest.raises(TimeLimitReached):
        run(tmp_path, changed(time_limit="0.2s"), objective=slow)
    assert (tmp_path / "latest").exists()
    assert same(run(tmp_path)[0], whole[0])


def test_a_stop_during_the_last_validation_is_made_good(tmp_path: Path, whole: tuple[Weights, Path]) -> None:
    context, _ = quiet_context()

    class Stopping(Counting):
        def validation(self, rows: int) -> Any:
            for batch in super().validation(rows):
                yield batch
                context.stop.request(2)

    with pytest.raises(Interrupted) as stopped:
        train(fresh_model(), Stopping(), changed(validate_every=99), states_in(tmp_path), context, seed=5)
    assert stopped.value.exit_code == 130
    weights, progress, _ = run(tmp_path, changed(validate_every=99))
    assert same(weights, whole[0])
    assert progress.validated_step == 12 and len(log(tmp_path, "validation")) == 1


def test_the_best_state_is_the_one_with_the_lowest_validation_loss(tmp_path: Path) -> None:
    optimizer = {"learning_rate": 0.5}  # far too large: the loss goes up and down
    config = changed(steps=10, validate_every=1, keep_checkpoints=1, optimizer=optimizer)
    _, progress, _ = run(tmp_path, config)
    losses = {line["step"]: line["loss"] for line in log(tmp_path, "validation")}
    best = min(losses, key=lambda step: (losses[step], step))
    assert (progress.best_step, progress.best_loss) == (best, losses[best])
    assert (tmp_path / "best").read_text() == f"step_{best:06d}\n"
    assert (tmp_path / f"step_{best:06d}" / "manifest.json").exists()
    assert progress.validation_loss == losses[10]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_first_weights_may_be_the_best(tmp_path: Path, name: str) -> None:
    optimizer = {"name": name, "learning_rate": 0.5, "matrix_learning_rate": 5.0}  # it only gets worse
    config = changed(steps=3, validate_first=True, validate_every=1, publish="best", optimizer=optimizer)
    weights, progress, _ = run(tmp_path, config)
    assert progress.best_step == 0
    assert same(weights, dict(fresh_model().state_dict()))


def test_validation_is_the_mean_over_trained_tokens(tmp_path: Path) -> None:
    weights, progress, _ = run(tmp_path)
    model = fresh_model()
    model.load_state_dict(weights)
    batches = list(Counting().validation(4))
    with torch.no_grad():
        total = sum(Counting().loss(model, batch).item() for batch in batches)
    assert progress.validation_loss == pytest.approx(total / sum(batch.trained for batch in batches), rel=1e-5)


def test_both_logs_are_written_and_told_in_bits_per_byte(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    context, said = quiet_context()
    train(fresh_model(), Counting(), CONFIG, states_in(tmp_path), context, seed=5, tokens_per_byte=0.25)
    validation = log(tmp_path, "validation")
    assert [line["step"] for line in validation] == [5, 10, 12]
    assert validation[0]["bits_per_byte"] == pytest.approx(validation[0]["loss"] / math.log(2) / 4)
    assert "bits per byte" in said.getvalue() and "loss" in said.getvalue()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    told = {event.step: event.value for event in board.Scalars("step/loss")}
    assert told == pytest.approx({line["step"]: line["loss"] for line in log(tmp_path, "step")})
    line = log(tmp_path, "step")[-1]
    assert {"tokens", "tokens_per_second", "gradient_norm", "learning_rate", "smoothed_loss", "seconds"} <= set(line)
    assert line["tokens"] == sum(Counting().batch(step).trained for step in range(12))


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_running_out_of_memory_says_what_to_change(tmp_path: Path, failure: Exception) -> None:
    class Huge(Counting):
        def loss(self, model: Transformer, batch: Batch) -> Tensor:
            raise failure

    with pytest.raises(ResourceError, match="Memory ran out") as error:
        run(tmp_path, objective=Huge())
    assert error.value.exit_code == 5 and "micro_batch_size" in str(error.value)


def test_other_failures_are_not_taken_for_memory(tmp_path: Path) -> None:
    class Broken(Counting):
        def loss(self, model: Transformer, batch: Batch) -> Tensor:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(tmp_path, objective=Broken())


def test_the_global_generators_start_from_the_seed(tmp_path: Path) -> None:
    seen: list[float] = []

    class Drawing(Counting):
        def batch(self, step: int) -> Batch:
            seen.append(float(torch.rand(())))
            return super().batch(step)

    run(tmp_path / "one", objective=Drawing())
    torch.rand(7)
    run(tmp_path / "two", objective=Drawing())
    assert seen[:12] == seen[12:] and len(set(seen)) == 12
