"""Training on one GPU: tokens/s, share of the data sheet's peak (MFU) and memory of three sizes and two lengths.

A step is that of `lumi`'s own loop, compiled, in bfloat16 with float32 weights: 524 288 random tokens that wait on the
GPU, in micro-batches of 65 536 (halved where memory runs out, and said so), clipping, fused AdamW. Time is the device's
own, over whole steps after the compiling ones. MFU counts 6 operations a multiplied parameter and token and the whole
of attention, as everybody does; it is "unknown" where the device's peak is not in lumilab/training/flops.py.

The shape of GPT-2's 124 M is measured a second time with 8 documents a row that must not see each other.

There is no peer to run beside it. The claim compares with the one published speed on a single H200 that we know of:
489 700 tokens/s for 12 layers of 768 at 1 024 tokens (modded-nanogpt, records/track_3_optimization, a log of May 2026;
1 070.67 ms for 524 288 tokens), and has a target on that device alone.

Needs torch, numpy, pydantic, pyyaml and safetensors, and nothing else; any PyTorch from 2.11 on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import Devices
from lumilab.training.flops import peak_operations, training_operations_per_token
from lumilab.training.hardware import Hardware
from lumilab.training.learner import Learner
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.parallel import distribute
from lumilab.training.step import take_step

STEP_TOKENS, MICRO_TOKENS = 524_288, 65_536
PUBLISHED, ON = 489_700.0, "NVIDIA H200"
DOCUMENTS = 8  # a row, where they are kept apart


@dataclass(frozen=True)
class Shape:
    """A model's size; heads are of 64."""

    name: str
    layers: int
    width: int
    feed_forward: int
    vocabulary: int

    def config(self, length: int) -> ModelConfig:
        """As in the recipe."""
        heads = self.width // 64
        return ModelConfig(
            layers=self.layers,
            width=self.width,
            heads=heads,
            kv_heads=heads,
            head_dim=64,
            feed_forward=self.feed_forward,
            context=length,
        )


SHAPES = (
    Shape("42M", 12, 512, 704, 32_768),
    Shape("124M", 12, 768, 2_048, 50_304),
    Shape("350M", 24, 1_024, 2_688, 50_304),
)


@dataclass(frozen=True)
class Result:
    """One line of the table; times in seconds, memory in GB."""

    shape: str
    parameters: int
    length: int
    documents: int
    micro_rows: int
    tokens_per_second: float
    mfu: float | None
    step_seconds: float
    memory: float
    compiling: float
    loss: float


def main(arguments: Sequence[str]) -> int:
    """Prints the table and the claim, and writes the results to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="124M at 1 024 tokens alone, 5 steps instead of 20")
    parser.add_argument("--output", type=Path, default=Path("train_gpu.json"), help="where the results go")
    parser.add_argument("--profile", action="store_true", help="also where the time of one 124M step goes, by kernel")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("Left out: this measures training on a GPU, and PyTorch finds no CUDA device here.")
        return 0
    device = torch.device("cuda")
    steps = 5 if options.quick else 20
    work = [(shape, length, 1) for length in (1_024, 2_048) for shape in SHAPES]
    work.append((SHAPES[1], 1_024, DOCUMENTS))
    if options.quick:
        work = [(SHAPES[1], 1_024, 1)]
    name = torch.cuda.get_device_name(device)
    print(f"{name}, PyTorch {torch.__version__}; {STEP_TOKENS:,} tokens a step, {steps} steps each")
    print(
        f"{'':<6}{'parameters':>13}{'length':>8}{'documents':>11}{'rows':>6}{'tokens/s':>12}{'MFU':>9}{'GB':>7}  loss"
    )
    results = []
    for shape, length, documents in work:
        results.append(_measured(shape, length, documents, steps, device))
        print(_line(results[-1]), flush=True)
    found = {"device": name, "torch": torch.__version__, "results": [asdict(result) for result in results]}
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    if options.profile:
        _profile(device)
    ours = next(one for one in results if (one.shape, one.length, one.documents) == ("124M", 1_024, 1))
    claim = {"claim": "gpu 124M", "ours": ours.tokens_per_second, "peer": PUBLISHED, "unit": "tokens/s"}
    ratio = ours.tokens_per_second / PUBLISHED
    print(json.dumps({**claim, "ratio": ratio, "target": 1.0 if name == ON else None}))
    return 0


def _line(result: Result) -> str:
    mfu = "unknown" if result.mfu is None else f"{100 * result.mfu:.1f} %"
    return (
        f"{result.shape:<6}{result.parameters:>13,}{result.length:>8}{result.documents:>11}{result.micro_rows:>6}"
        f"{result.tokens_per_second:>12,.0f}{mfu:>9}{result.memory:>7.1f}  {result.loss:.3f}"
    )


def _measured(shape: Shape, length: int, documents: int, steps: int, device: torch.device) -> Result:
    """One line, with the largest micro-batch that fits."""
    rows = MICRO_TOKENS // length
    while True:
        try:
            return _measure(shape, length, documents, rows, steps, device)
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        rows //= 2
        torch._dynamo.reset()
        torch.cuda.empty_cache()
        print(f"  {shape.name} at {length}: memory ran out, so micro-batches of {rows} rows", flush=True)


def _measure(shape: Shape, length: int, documents: int, rows: int, steps: int, device: torch.device) -> Result:
    run = _Run(shape, length, documents, rows, device)
    torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    run.steps(3)  # the first compiles
    torch.cuda.synchronize(device)
    compiling = time.perf_counter() - began
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    loss = run.steps(steps)
    end.record()
    torch.cuda.synchronize(device)
    seconds = start.elapsed_time(end) / 1e3 / steps
    speed, peak = STEP_TOKENS / seconds, peak_operations(device, torch.bfloat16)
    return Result(
        shape.name,
        sum(parameter.numel() for parameter in run.model.parameters()),
        length,
        documents,
        rows,
        speed,
        speed * training_operations_per_token(run.model, length) / peak if peak else None,
        seconds,
        torch.cuda.max_memory_allocated(device) / 1e9,
        compiling,
        loss,
    )


class _Run:
    """A model in training, on two batches in turn."""

    def __init__(self, shape: Shape, length: int, documents: int, rows: int, device: torch.device) -> None:
        torch._dynamo.reset()
        self.model = initialise(Transformer(shape.config(length), shape.vocabulary), 0)
        self.model.activation_dtype = torch.bfloat16
        hardware = Hardware(device, torch.bfloat16, compiled=True)
        self._loss_of = distribute(self.model, summed_cross_entropy, hardware, Devices(), "auto")
        self._learner = Learner(self.model, TrainingConfig(), torch.bfloat16)
        self._rows = rows
        text = torch.randint(0, shape.vocabulary, (2, STEP_TOKENS // length, length + 1), device=device)
        apart = None
        if documents > 1:
            numbers = torch.arange(length, device=device) * documents // length
            apart = numbers.expand(STEP_TOKENS // length, length).contiguous()
        self._batches = [Batch(part[:, :-1].contiguous(), part[:, 1:].contiguous(), apart) for part in text]

    def steps(self, count: int) -> float:
        """Trains; gives the last step's loss. Like the loop, it reads a step's figures while the next is under way."""
        waiting = None
        for step in range(count):
            batch = self._batches[step % 2]
            begun = take_step(self._learner, self._loss_of, batch, step, 0.1, Devices(), rows=self._rows, clip=1.0)
            if waiting is not None:
                waiting.wait()
            waiting = begun
        assert waiting is not None
        return waiting.wait().loss


def _profile(device: torch.device) -> None:
    run = _Run(SHAPES[1], 1_024, 1, MICRO_TOKENS // 1_024, device)
    run.steps(3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run.steps(1)
        torch.cuda.synchronize(device)
    print(profile.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=90))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
