"""What the loop may be asked for besides: averages, early stops, the best weights, float16, spikes, micro-batches."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import quiet_context
from tiny_training import Counting, changed, fresh_model, states_in
from torch import Tensor

from lumilab.errors import Interrupted
from lumilab.model import Transformer
from lumilab.recipe.training import TrainingConfig
from lumilab.training import guard
from lumilab.training import run as running
from lumilab.training.loop import train
from lumilab.training.objective import Batch
from lumilab.training.states import Progress
from lumilab.training.validation import steps_between
from lumilab.training.weights import load_tensors

Weights = dict[str, Tensor]


def run(
    folder: Path, config: TrainingConfig, objective: Counting | None = None, stop_at: int | None = None
) -> tuple[Weights, Progress, str]:
    """Trains in a folder; with `stop_at`, a stop is asked for when that step's batch is made."""
    context, said = quiet_context()
    objective = objective or Counting()
    if stop_at is not None:
        objective.on_batch = lambda step: context.stop.request(15) if step == stop_at else None
    model = fresh_model()
    progress = train(model, objective, config, states_in(folder, config), context, seed=5)
    return dict(model.state_dict()), progress, said.getvalue()


def stopped_and_resumed(folder: Path, config: TrainingConfig, *stops: int) -> tuple[Weights, Progress, str]:
    for stop in stops:
        with pytest.raises(Interrupted):
            run(folder, config, stop_at=stop)
    return run(folder, config)


def log(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def same(one: Weights, other: Weights) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# --- moving averages ----------------------------------------------------------------------------------------------


class Watching(Counting):
    """Keeps a copy of the weights that each training step begins with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Weights] = []

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        if model.training:
            self.seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return super().loss(model, batch)


def test_the_published_average_is_that_of_the_weights_after_each_step(tmp_path: Path) -> None:
    watching = Watching()
    averaged, _, _ = run(tmp_path / "average", changed(ema={"decay": 0.5}), watching)
    last, _, _ = run(tmp_path / "last", changed(ema={"decay": 0.5, "published": False}))
    assert same(last, run(tmp_path / "none", changed())[0]), "an average changes nothing of the training"
    expected = {name: tensor.double() for name, tensor in watching.seen[0].items()}
    for step, weights in enumerate([*watching.seen[1:], last]):
        kept = min(0.5, (1 + step) / (10 + step))
        expected = {name: kept * tensor + (1 - kept) * weights[name].double() for name, tensor in expected.items()}
    for name, tensor in averaged.items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-6, rtol=1e-5)
    assert not same(averaged, last)


def test_the_average_is_what_is_validated_unless_the_last_weights_are_asked_for(tmp_path: Path) -> None:
    losses = {}
    for validated in (True, False):
        config = changed(ema={"decay": 0.5, "validated": validated, "published": validated})
        weights, progress, _ = run(tmp_path / str(validated), config)
        model = fresh_model()
        model.load_state_dict(weights)
        batches = list(Counting().validation(4))
        with torch.no_grad():
            total = sum(Counting().loss(model, batch).item() for batch in batches)
        assert progress.validation_loss == pytest.approx(total / sum(batch.trained for batch in batches), rel=1e-5)
        losses[validated] = progress.validation_loss
    assert losses[True] != losses[False]


@pytest.mark.parametrize("validated", [True, False])
def test_a_stopped_average_goes_on_bit_for_bit(tmp_path: Path, validated: bool) -> None:
    config = changed(ema={"decay": 0.9, "validated": validated})
    expected, progress, _ = run(tmp_path / "whole", config)
    weights, resumed, _ = stopped_and_resumed(tmp_path / "stopped", config, 0, 4, 9)
    assert same(weights, expected) and resumed == progress


# --- when to validate, when to stop, what to publish --------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "epoch_steps", "steps", "expected"),
    [
        (7, 1000.0, 5000, 7),
        (0.25, 1000.0, 5000, 250),
        (0.25, 1.0, 50, 1),
        (None, 1000.0, 5000, 100),  # a tenth of an epoch
        (None, 1e6, 5000, 500),  # much less than an epoch: ten times in the run
        (None, 20.0, 5000, 50),  # many epochs: a hundred times in the run
        (None, 20.0, 5, 1),
    ],
)
def test_validations_come_when_they_are_asked_for(
    asked: float | None, epoch_steps: float, steps: int, expected: int
) -> None:
    assert steps_between(changed(validate_every=asked, steps=steps), epoch_steps) == expected


def restless(**more: Any) -> TrainingConfig:
    """A learning rate far too large: the validation loss goes up and down."""
    return changed(steps=40, validate_every=2, checkpoint_every=7, optimizer={"learning_rate": 0.5}, **more)


def test_early_stopping_ends_after_so_many_validations_without_a_lower_loss(tmp_path: Path) -> None:
    config = restless(early_stopping=3)
    weights, progress, said = run(tmp_path / "whole", config)
    losses = [line["loss"] for line in log(tmp_path / "whole", "validation")]
    lowest = losses.index(min(losses))
    assert len(losses) == lowest + 4 and progress.step == 2 * len(losses) < 40
    assert "training stops here" in said
    resumed = stopped_and_resumed(tmp_path / "stopped", config, 1, 2 * lowest + 2)
    assert same(resumed[0], weights) and resumed[1] == progress
    again = run(tmp_path / "whole", config)
    assert same(again[0], weights) and again[1] == progress


@pytest.mark.parametrize("ema", [None, {"decay": 0.9}], ids=["weights", "average"])
def test_the_best_weights_are_published_where_they_are_asked_for(tmp_path: Path, ema: dict[str, Any] | None) -> None:
    config = restless(early_stopping=3, publish="best", ema=ema, keep_checkpoints=1)
    weights, progress, _ = run(tmp_path, config)
    assert progress.best_step is not None and progress.best_step < progress.step
    state = tmp_path / f"step_{progress.best_step:06d}"
    best = load_tensors(state / ("average.safetensors" if ema else "model.safetensors"))
    assert same(best, weights)
    assert same(run(tmp_path, config)[0], weights), "asked for again, the same"


def test_when_to_validate_is_part_of_what_makes_a_run_only_where_it_decides() -> None:
    from lumilab.recipe.section import identity

    plain = [identity(changed(validate_every=every)) for every in (2, 3)]
    deciding = [identity(changed(validate_every=every, early_stopping=5)) for every in (2, 3)]
    best = [identity(changed(validation_windows=count, publish="best")) for count in (2, 3)]
    assert plain[0] == plain[1] and deciding[0] != deciding[1] and best[0] != best[1]


# --- arithmetic, spikes, memory -----------------------------------------------------------------------------------


def test_float16_trains_with_a_loss_scale_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    config = changed(dtype="float16", micro_batch_size=2)
    weights, progress, said = run(tmp_path / "whole", config)
    assert "float16" in said
    plain = [line["loss"] for line in log_of_plain(tmp_path)]
    half = [line["loss"] for line in log(tmp_path / "whole", "step")]
    assert progress.skipped == 0 and half == pytest.approx(plain, abs=0.02)
    assert same(stopped_and_resumed(tmp_path / "stopped", config, 1, 6)[0], weights)
    control = load_tensors(tmp_path / "whole" / "step_000012" / "control.safetensors")
    assert control["loss_scale.scale"] == 2.0**16 and control["loss_scale.held"] == 12


def log_of_plain(folder: Path) -> list[dict[str, Any]]:
    run(folder / "plain", changed(micro_batch_size=2))
    return log(folder / "plain", "step")


class Overflowing(Counting):
    """A loss whose gradient is too large for the first scales of float16, but not for lower ones."""

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        loss: Tensor = _Steep.apply(super().loss(model, batch))
        return loss


class _Steep(torch.autograd.Function):
    """The same value, and a gradient that overflows from a scale of 4 096 on (one of 58 tokens)."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.where(gradient.abs() * 50 >= 4096, torch.inf, gradient)


def test_float16_finds_its_scale_by_skipping_what_overflows(tmp_path: Path) -> None:
    _, progress, said = run(tmp_path, changed(dtype="float16"), Overflowing())
    assert progress.skipped >= 4 and progress.skipped_in_row == 0
    assert said.count("no update from this batch") == progress.skipped
    control = load_tensors(tmp_path / "step_000012" / "control.safetensors")
    assert control["loss_scale.scale"] == 2.0 ** (16 - progress.skipped)


class Spiking(Counting):
    """A loss fifty times too high in one step."""

    def __init__(self, at: int) -> None:
        super().__init__(on_batch=self._note)
        self.at, self.now = at, 0

    def _note(self, step: int) -> None:
        self.now = step

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        return super().loss(model, batch) * (50 if self.now == self.at and model.training else 1)


def test_a_spike_is_skipped_and_counted_and_left_alone_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "ENOUGH", 5)
    weights, progress, said = run(tmp_path / "skipped", changed(), Spiking(8))
    assert (progress.skipped, progress.skipped_in_row, progress.step) == (1, 0, 12)
    assert [line["step"] for line in log(tmp_path / "skipped", "skipped")] == [9] and "step 9: loss" in said
    taken, progress, _ = run(tmp_path / "taken", changed(spike_sigmas=0), Spiking(8))
    assert progress.skipped == 0 and not same(weights, taken)


def test_micro_batches_that_are_found_are_kept_with_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "largest_micro_batch", lambda *_, **__: 2)
    config = changed(micro_batch_size="auto")
    weights, progress, said = run(tmp_path / "whole", config)
    assert progress.micro_batch == 2 and "2 of 4 windows fit into memory at once" in said
    assert same(weights, run(tmp_path / "given", changed(micro_batch_size=2))[0])
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", config, stop_at=5)
    monkeypatch.setattr(running, "largest_micro_batch", lambda *_, **__: pytest.fail("it is known from before"))
    assert same(run(tmp_path / "stopped", config)[0], weights)


def test_looking_for_micro_batches_changes_nothing_else(tmp_path: Path) -> None:
    weights, progress, _ = run(tmp_path / "auto", changed(micro_batch_size="auto"))
    assert progress.micro_batch == 4
    assert same(weights, run(tmp_path / "whole", changed())[0])


def test_recomputed_activations_give_the_same_weights(tmp_path: Path) -> None:
    plain, again = (run(tmp_path / str(on), changed(activation_checkpointing=on))[0] for on in (False, True))
    assert same(plain, again)


def test_steps_are_logged_once_each_whatever_is_due(tmp_path: Path) -> None:
    run(tmp_path, changed(validate_every=5, checkpoint_every=4))
    steps = [line["step"] for line in log(tmp_path, "step")]
    assert steps == list(range(1, 13)) and all(after - before == 1 for before, after in pairwise(steps))
    line = log(tmp_path, "step")[-1]
    assert line["mfu"] is None and line["memory"] > 2**20 and line["skipped"] == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_gpu_resumes_bit_for_bit_where_that_is_asked_for(tmp_path: Path, dtype: str) -> None:
    config = changed(device="cuda", dtype=dtype, deterministic=True, ema={"decay": 0.9})
    weights, progress, _ = run(tmp_path / "whole", config)
    resumed = stopped_and_resumed(tmp_path / "stopped", config, 2, 7)
    assert same(resumed[0], weights) and resumed[1] == progress
