"""The memory that `lumi plan` foretells against what training takes, on this machine.

Each shape trains in a process of its own, not compiled (compiled, less is kept than is foretold). Two things are
measured: the most bytes of tensors at once in a step, by PyTorch's own account of what it allocates and frees, which is
what is foretold; and the most memory of the process beyond what it had after a model of next to nothing (on a GPU: of
tensors), which on a CPU has what the allocator wastes in it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.footprint import Footprint, Setup, footprint
from lumilab.training.hardware import resolve_device, resolve_dtype
from lumilab.training.learner import Learner
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.parallel import Devices, DistributedLoss, LossModule
from lumilab.training.probe import measure
from lumilab.training.step import take_step
from lumilab.work.stopping import StopRequest

SHAPES = {
    "tiny": (ModelConfig(layers=6, width=256, heads=4, kv_heads=2, head_dim=64, feed_forward=768), 8_192, 512),
    "small": (ModelConfig(layers=12, width=512, heads=8, kv_heads=4, head_dim=64, feed_forward=1_536), 32_768, 512),
}
RUNS = (  # shape, windows, what differs
    ("tiny", 2, {}),
    ("tiny", 8, {}),
    ("tiny", 8, {"optimizer": {"name": "muon"}}),
    ("tiny", 8, {"micro_batch_size": 2}),
    ("tiny", 8, {"activation_checkpointing": True}),
    ("small", 4, {}),
)


def main(arguments: Sequence[str]) -> int:
    """Prints one line a run and one JSON line for the worst of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first two")
    runs = RUNS[:2] if parser.parse_args(arguments).quick else RUNS
    worst = (0.0, 1.0, 1.0)
    for shape, windows, changes in runs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            foretold, tensors, process, moment = pool.apply(compare, (shape, windows, changes))
        print(
            f"{shape}, {windows} windows of 512, {changes or 'as it is'}: foretold {foretold / 1e6:.0f} MB ({moment}); "
            f"tensors {tensors / 1e6:.0f} MB ({100 * (foretold / tensors - 1):+.1f} %), "
            f"process {process / 1e6:.0f} MB ({100 * (foretold / process - 1):+.0f} %)",
            flush=True,
        )
        worst = max(worst, (abs(foretold / tensors - 1), foretold, tensors))
    line = {"claim": "memory", "ours": worst[1] / 1e6, "peer": worst[2] / 1e6, "unit": "MB foretold, taken (worst)"}
    print(json.dumps({**line, "ratio": worst[1] / worst[2], "target": None}))
    return 0


def compare(shape: str, windows: int, changes: dict[str, object]) -> tuple[float, float, float, str]:
    """Bytes foretold, of tensors, of the process; and when the most is taken by what is foretold."""
    model, vocabulary, window = SHAPES[shape]
    training = TrainingConfig.model_validate({"batch_size": windows, "compile": "no", **changes})
    foretold = _foretell(model, vocabulary, window, training)
    nothing = ModelConfig(layers=1, width=16, heads=1, kv_heads=1, head_dim=16, feed_forward=16)
    measure(nothing, 512, training, 16, StopRequest(), rows=windows)
    taken = measure(model, vocabulary, training, window, StopRequest(), rows=windows)
    tensors = _tensors(model, vocabulary, window, training)
    return foretold.peak, tensors, taken.memory, foretold.moment


def _tensors(config: ModelConfig, vocabulary: int, window: int, training: TrainingConfig) -> float:
    """The most bytes of tensors in the second step: state, and what the step allocates beyond it."""
    device = resolve_device(training.device)
    model = initialise(Transformer(config, vocabulary), 0).to(device)
    model.activation_dtype = dtype = resolve_dtype(training.dtype, device)
    model.recompute = training.activation_checkpointing
    learner = Learner(model, training, dtype)
    loss_of = DistributedLoss(LossModule(model, summed_cross_entropy), "one")
    ids = torch.randint(0, vocabulary, (training.batch_size, window + 1))
    batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
    micro = training.micro_batch_size if isinstance(training.micro_batch_size, int) else None

    def step(number: int) -> None:
        take_step(learner, loss_of, batch, number, 0.0, Devices(), rows=micro, clip=1.0).wait()

    step(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step(1)
        return float(torch.cuda.max_memory_allocated())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(1)
    events = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    amounts = [each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())]
    state = sum(tensor.nbytes for group in learner.tensors().values() for tensor in group.values())
    return float(state + max(accumulate(amounts)))


def _foretell(model: ModelConfig, vocabulary: int, window: int, training: TrainingConfig) -> Footprint:
    device = resolve_device(training.device)
    rows = training.micro_batch_size if isinstance(training.micro_batch_size, int) else training.batch_size
    element = resolve_dtype(training.dtype, device).itemsize
    return footprint(Setup(model, vocabulary, window, training, rows, element, device.type == "cpu"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
