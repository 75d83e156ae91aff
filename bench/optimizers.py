"""Muon against AdamW, both tuned by the sweep that is here: Wikipedia, the tiny preset (6 layers of 256).

Each learning rate is tried by doubling and halving until the best one has a worse one on either side. First AdamW's;
then that of Muon's matrices, with AdamW's best for the rest (embeddings and norms). Everything else is the same for
both: data, order, batch, schedule (cosine to a tenth), weight decay, clipping. The best of each is then repeated with
other seeds (of the weights and of the order). What is compared is the validation loss

- at equal tokens: the same number of steps;
- at equal time: AdamW, whose steps are cheaper, gets as many more of them as fit into Muon's time, with a schedule
  of that length.

The time of a step is processor time on one thread, so other work on the machine does not count (several threads that
wait for one another would count their waiting). Both steps have the same passes through the model, measured once; the
optimizers' own steps alternate; the least of five of each.

A run that is finished is not run again: `--folder` keeps them. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lumilab.artifact import Artifact
from lumilab.errors import InputError
from lumilab.model import Transformer, initialise
from lumilab.pipeline.run import run
from lumilab.recipe import Recipe, load_recipe
from lumilab.recipe.training import TrainingConfig
from lumilab.training.hardware import resolve_device, resolve_dtype
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.optimizers import TrainingOptimizer
from lumilab.training.pretrain import pretrain
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "wikipedia-en-2015"
FIRST_RATES = {"adamw": 0.002, "muon": 0.02}
MOST_TRIALS = 6  # rates in a sweep
SEEDS = (1, 2, 3)


def main(arguments: Sequence[str]) -> int:
    """Prints the sweep, the table and one JSON line per claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="6 steps of a quarter of the tokens, one seed, three rates"
    )
    parser.add_argument("--steps", type=int, default=150, help="steps of a run")
    parser.add_argument("--windows", type=int, default=8, help="windows of 512 tokens a step")
    parser.add_argument("--folder", type=Path, help="where runs are kept; a temporary folder otherwise")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        print("Left out: ../shared/data is not beside this checkout.")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        context = WorkContext(Reporter())
        recipe = _recipe(options.quick, options.windows)
        artifacts = run(recipe, folder / "data", context, until="dataset").artifacts
        trials = Trials(recipe, artifacts["dataset"], artifacts["tokenizer"], folder, context)
        if options.quick:
            _compare(trials, steps=6, seeds=SEEDS[:1], most_rates=3)
        else:
            _compare(trials, options.steps, SEEDS, MOST_TRIALS)
    return 0


def _recipe(quick: bool, windows: int) -> Recipe:
    files = [str(path) for path in sorted(DATA.glob("*.jsonl.*"))[: 1 if quick else 5]]
    settings = {
        "name": "optimizers",
        "corpus.sources": [{"kind": "files", "name": "wikipedia", "paths": files}],
        "dataset.validation_share": 0.05,
        "pretrain.batch_size": 2 if quick else windows,
        "pretrain.validation_windows": 16 if quick else 128,
        "pretrain.log_every": 25,
    }
    return load_recipe("tiny", [f"{key}={json.dumps(value)}" for key, value in settings.items()]).recipe


@dataclass(frozen=True)
class Setting:
    """What distinguishes one run from another."""

    optimizer: str
    learning_rate: float
    matrix_learning_rate: float
    steps: int
    seed: int

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return f"{self.optimizer}-{self.learning_rate:g}-{self.matrix_learning_rate:g}-{self.steps}-{self.seed}"


@dataclass(frozen=True)
class Trials:
    """Runs by their settings, each made once."""

    recipe: Recipe
    dataset: Artifact
    tokenizer: Artifact
    folder: Path
    context: WorkContext

    def config(self, setting: Setting) -> TrainingConfig:
        """The whole training configuration of a setting."""
        optimizer = {
            "name": setting.optimizer,
            "learning_rate": setting.learning_rate,
            "matrix_learning_rate": setting.matrix_learning_rate,
        }
        config = self.recipe.pretrain
        changes = {
            "steps": setting.steps,
            "optimizer": config.optimizer.model_dump() | optimizer,
            "validate_every": setting.steps,
            "checkpoint_every": 25,
        }
        return TrainingConfig.model_validate(config.model_dump() | changes)

    def loss(self, setting: Setting) -> float:
        """The validation loss after a run's last step, in nats per token."""
        target = self.folder / "runs" / setting.name / "final"
        try:
            checkpoint = Artifact.open(target)
        except InputError:
            checkpoint = pretrain(
                self.config(setting),
                self.recipe.model,
                setting.seed,
                self.dataset,
                self.tokenizer,
                target,
                self.context,
            )
        for state in target.parent.glob("step_*"):
            shutil.rmtree(state)
        loss = float(checkpoint.manifest.statistics["validation_loss"])
        print(f"  {setting.name}: {loss:.4f}", flush=True)
        return loss


def _compare(trials: Trials, steps: int, seeds: Sequence[int], most_rates: int) -> None:
    adamw_seconds, muon_seconds = _step_seconds(trials)
    print("sweep (optimizer, learning rate, matrices' learning rate, steps, seed: validation loss)", flush=True)
    first = FIRST_RATES["muon"]
    rate = _best_rate(
        FIRST_RATES["adamw"], most_rates, lambda tried: trials.loss(Setting("adamw", tried, first, steps, seeds[0]))
    )
    matrix_rate = _best_rate(
        first, most_rates, lambda tried: trials.loss(Setting("muon", rate, tried, steps, seeds[0]))
    )
    longer = round(steps * muon_seconds / adamw_seconds)
    rows = {
        "AdamW": Setting("adamw", rate, FIRST_RATES["muon"], steps, 0),
        "AdamW, equal time": Setting("adamw", rate, FIRST_RATES["muon"], longer, 0),
        "Muon": Setting("muon", rate, matrix_rate, steps, 0),
    }
    losses = {
        name: [trials.loss(Setting(**{**vars(setting), "seed": seed})) for seed in seeds]
        for name, setting in rows.items()
    }
    _print_table(rows, losses, {"adamw": adamw_seconds, "muon": muon_seconds}, trials)
    muon = statistics.mean(losses["Muon"])
    for claim, name in (("muon-equal-tokens", "AdamW"), ("muon-equal-time", "AdamW, equal time")):
        peer = statistics.mean(losses[name])
        line = {"claim": claim, "ours": muon, "peer": peer, "unit": "nats per token (less is better)"}
        print(json.dumps({**line, "ratio": peer / muon, "target": 1.0}))


def _best_rate(first: float, most: int, loss_at: Callable[[float], float]) -> float:
    """The rate of least loss among `first` times powers of two, with a worse one tried on either side."""
    losses: dict[float, float] = {}
    for rate in (first / 2, first, first * 2):
        losses[rate] = loss_at(rate)
    while len(losses) < most:
        best = min(losses, key=losses.__getitem__)
        if min(losses) < best < max(losses):
            break
        rate = best / 2 if best == min(losses) else best * 2
        losses[rate] = loss_at(rate)
    best = min(losses, key=losses.__getitem__)
    edge = "" if min(losses) < best < max(losses) else " (the last one tried: a better one may lie beyond)"
    print(f"  best: {best:g}{edge}", flush=True)
    return best


def _step_seconds(trials: Trials, rounds: int = 5) -> tuple[float, float]:
    """Processor time of a whole training step with AdamW and with Muon."""
    settings = [Setting(name, 0.001, 0.02, 1, 1) for name in ("adamw", "muon")]
    configs = [trials.config(setting) for setting in settings]
    device = resolve_device("auto")
    dtype = resolve_dtype("auto", device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = initialise(Transformer(trials.recipe.model, _vocabulary(trials)), 1).to(device)
    model.activation_dtype = dtype
    window = trials.recipe.dataset.window
    ids = torch.randint(0, model.vocabulary_size, (configs[0].batch_size, window + 1), device=device)
    batch = Batch(ids[:, :-1], ids[:, 1:])
    optimizers = [TrainingOptimizer(model, config.optimizer, dtype) for config in configs]
    passes: list[float] = []
    updates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        passes.append(
            _processor_time(lambda: torch.autograd.backward(summed_cross_entropy(model, batch) / ids.numel()))
        )
        for optimizer, times in zip(optimizers, updates, strict=True):
            times.append(_processor_time(lambda optimizer=optimizer: optimizer.step(0.0)))
        model.zero_grad()
    torch.set_num_threads(threads)
    base, adamw, muon = (min(times[1:]) for times in (passes, *updates))
    arithmetic = str(dtype).removeprefix("torch.")
    print(
        f"processor time of a step on {device.type}, one thread, {arithmetic}: passes {base:.3f} s, "
        f"AdamW {adamw:.3f} s, Muon (with AdamW for the rest) {muon:.3f} s"
    )
    return base + adamw, base + muon


def _vocabulary(trials: Trials) -> int:
    return int(trials.dataset.manifest.config["vocabulary_size"])


def _processor_time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _print_table(
    rows: dict[str, Setting], losses: dict[str, list[float]], seconds: dict[str, float], trials: Trials
) -> None:
    tokens = trials.recipe.pretrain.batch_size * trials.recipe.dataset.window
    print()
    print("| | learning rate | matrices' | steps | tokens | processor s a step | validation loss | by seed |")
    print("|---|---|---|---|---|---|---|---|")
    for name, setting in rows.items():
        values = losses[name]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        matrices = f"{setting.matrix_learning_rate:g}" if setting.optimizer == "muon" else "-"
        print(
            f"| {name} | {setting.learning_rate:g} | {matrices} | {setting.steps} | {setting.steps * tokens:,} "
            f"| {seconds[setting.optimizer]:.2f} | {statistics.mean(values):.4f}{spread} "
            f"| {', '.join(f'{value:.4f}' for value in values)} |"
        )
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
