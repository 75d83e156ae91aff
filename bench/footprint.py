"""The memory that `lumi plan` foretells against what training takes, on this machine's CPU or GPU.

Each shape trains for a few steps in a process of its own, after a model of next to nothing has, for which the libraries
load themselves. What is compared is the most memory beyond what the process had then (on a CPU: of the whole process,
with what the allocator wastes; on a GPU: of tensors). Not compiled: compiled, less is kept than is foretold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Sequence

from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.footprint import Footprint, Setup, footprint
from lumilab.training.hardware import resolve_device, resolve_dtype
from lumilab.training.probe import measure
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
    worst = (1.0, 1.0, 1.0)
    for shape, windows, changes in runs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            foretold, taken, moment = pool.apply(compare, (shape, windows, changes))
        print(
            f"{shape}, {windows} windows of 512, {changes or 'as it is'}: foretold {foretold / 1e6:.0f} MB ({moment}), "
            f"taken {taken / 1e6:.0f} MB, {100 * (foretold / taken - 1):+.0f} %",
            flush=True,
        )
        worst = max(worst, (abs(foretold / taken - 1) + 1, foretold, taken))
    line = {"claim": "memory", "ours": worst[1] / 1e6, "peer": worst[2] / 1e6, "unit": "MB foretold, taken (worst)"}
    print(json.dumps({**line, "ratio": worst[1] / worst[2], "target": None}))
    return 0


def compare(shape: str, windows: int, changes: dict[str, object]) -> tuple[float, float, str]:
    """Bytes foretold, bytes taken, and when."""
    model, vocabulary, window = SHAPES[shape]
    training = TrainingConfig.model_validate({"batch_size": windows, "compile": "no", **changes})
    foretold = _foretell(model, vocabulary, window, training)
    nothing = ModelConfig(layers=1, width=16, heads=1, kv_heads=1, head_dim=16, feed_forward=16)
    measure(nothing, 512, training, 16, StopRequest(), rows=windows)
    taken = measure(model, vocabulary, training, window, StopRequest(), rows=windows)
    return foretold.peak, taken.memory, foretold.moment


def _foretell(model: ModelConfig, vocabulary: int, window: int, training: TrainingConfig) -> Footprint:
    device = resolve_device(training.device)
    rows = training.micro_batch_size if isinstance(training.micro_batch_size, int) else training.batch_size
    element = resolve_dtype(training.dtype, device).itemsize
    return footprint(Setup(model, vocabulary, window, training, rows, element, device.type == "cpu"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
