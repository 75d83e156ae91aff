"""An adapter (LoRA, rank 16 on all linear layers) against training all weights: at the 42-million-parameter preset.

Both train on the same random windows, each in a process of its own, in the steps of the training loop. Three things are
measured: the share of parameters that train, the most memory that training took (on a CPU: of the process beyond what
it had before; on a GPU: of tensors), and tokens a second, the median over the steps. What a saved state takes on disk
follows from what trains.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lumilab.model import Transformer, initialise
from lumilab.posttraining.adapters import add_adapter
from lumilab.recipe import load_recipe
from lumilab.recipe.adapter import AdapterConfig
from lumilab.recipe.finetuning import SftConfig
from lumilab.training.devices import Devices
from lumilab.training.hardware import keep_freed_memory, repeatable, resolve
from lumilab.training.learner import Learner
from lumilab.training.memory import peak_watched, resident
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.parallel import distribute
from lumilab.training.step import take_step

WARM_UP = 2  # steps in which memory is fetched and things are compiled


@dataclass(frozen=True)
class Found:
    """What one way of training took: parameters, bytes, tokens a second."""

    parameters: int
    trained: int
    state: int
    memory: int
    speed: float
    hardware: str


def main(arguments: Sequence[str]) -> int:
    """Prints one line for each way of training and one JSON line a claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the preset tiny, fewer steps")
    parser.add_argument("--windows", type=int, default=4, help="of 512 tokens, in each step")
    parser.add_argument("--compile", choices=("yes", "no"), default="no")
    given = parser.parse_args(arguments)
    order = ("tiny" if given.quick else "small", given.windows, 3 if given.quick else 10, given.compile)
    found = {}
    for name, adapter in (("all weights", None), ("adapter", AdapterConfig(rank=16))):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = each = pool.apply(measure, (adapter, *order))
        print(
            f"{order[0]}, {name}: {each.trained:,} of {each.parameters:,} parameters train "
            f"({100 * each.trained / each.parameters:.2f} %), a state of {each.state / 1e6:.1f} MB, "
            f"{each.memory / 1e6:.0f} MB at most, {each.speed:,.0f} tokens/s ({each.hardware})",
            flush=True,
        )
    whole, part = found.values()
    share = part.trained / part.parameters
    for claim, ours, peer, unit in (
        ("LoRA: trained share", 100 * share, 100.0, "% of the parameters"),
        ("LoRA: memory", part.memory / 1e6, whole.memory / 1e6, "MB at most"),
        ("LoRA: speed", part.speed, whole.speed, "tokens/s"),
    ):
        line = {"claim": claim, "ours": ours, "peer": peer, "unit": unit, "ratio": ours / peer, "target": None}
        print(json.dumps(line))
    return 0


def measure(adapter: AdapterConfig | None, preset: str, windows: int, steps: int, compile: str) -> Found:
    """Trains for some steps."""
    importlib.import_module("peft")  # before memory is looked at: a library is no part of what training takes
    recipe = load_recipe(preset).recipe
    config = SftConfig.model_validate({"batch_size": windows, "compile": compile})
    hardware = resolve(config, 0.0)
    keep_freed_memory()
    before = resident() if hardware.device.type == "cpu" else 0
    with repeatable(hardware.device), peak_watched(hardware.device) as peak:
        model = initialise(Transformer(recipe.model, recipe.tokenizer.vocabulary_size), 0)
        if adapter is not None:
            add_adapter(model, adapter, 0)
        model.activation_dtype = hardware.dtype
        loss_of = distribute(model, summed_cross_entropy, hardware, Devices(), "auto")
        learner = Learner(model, config, hardware.dtype)
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(0, model.vocabulary_size, (windows, recipe.dataset.window + 1), generator=draw)
        batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        seconds = []
        for number in range(WARM_UP + steps):
            began = time.perf_counter()
            take_step(learner, loss_of, batch, number, 1.0, Devices(), rows=None, clip=1.0).wait()
            seconds.append(time.perf_counter() - began)
        memory = peak() - before
    return Found(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        state=sum(tensor.nbytes for group in learner.tensors().values() for tensor in group.values()),
        memory=memory,
        speed=batch.labels.numel() / statistics.median(seconds[WARM_UP:]),
        hardware=hardware.describe().removeprefix("Training on "),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
