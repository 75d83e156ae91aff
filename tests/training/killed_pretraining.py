"""A process that is killed: pretrains again and again in a child, with SIGKILL at random moments, until it is done.

Arguments: the folder of the dataset, that of the tokenizer, a folder to work in, the configuration as JSON (logging
every step), the seed of the moments, and how many kills there must be. A moment is some steps of headway, none to six,
and a random part of a step's time or so. Runs are made in `killed-0`, `killed-1`, ... until there were enough kills.
The parent trains once itself, in `undisturbed`, so that all is imported and warm; then it forks a child for each
attempt, so that a kill costs a fraction of a second. Prints the number of kills and of runs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

from tiny_corpus import quiet_context
from tiny_model import QWEN3

from lumilab.artifact import Artifact
from lumilab.recipe.training import TrainingConfig
from lumilab.training.pretrain import pretrain


def attempt(dataset: Artifact, tokenizer: Artifact, target: Path, config: TrainingConfig) -> int:
    """A child process at work; returns its id."""
    warnings.simplefilter("ignore", DeprecationWarning)  # forking beside idle threads of libraries
    child = os.fork()
    if child:
        return child
    try:
        pretrain(config, QWEN3, 3, dataset, tokenizer, target, quiet_context()[0])
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        sys.stderr.flush()
        os._exit(1)


def lines_in(log: Path) -> int:
    """How many lines a log that may not be there has."""
    try:
        return log.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def ends_within(child: int, log: Path, headway: int, seconds: float) -> bool:
    """Waits for so many new lines in the log and then so many seconds; whether the child ended by itself before."""
    least, end = lines_in(log), None
    while end is None or time.monotonic() < end:
        time.sleep(0.001)
        done, status = os.waitpid(child, os.WNOHANG)
        if done and status:
            raise SystemExit(f"the child failed with status {status}")
        if done:
            return True
        lines = lines_in(log)
        least = min(least, lines)
        if end is None and lines - least >= headway:
            end = time.monotonic() + seconds
    return False


def kills_until_done(
    inputs: tuple[Artifact, Artifact], target: Path, settings: TrainingConfig, draw: random.Random
) -> int:
    """Kills until a child ends by itself; how often that was."""
    kills = 0
    while True:
        child = attempt(*inputs, target, settings)
        if ends_within(child, target.parent / "log.jsonl", draw.randint(0, 6), draw.uniform(0, 0.05)):
            return kills
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        if kills > 100:
            raise SystemExit("a hundred kills and no end: the run makes no headway")


def main(dataset: str, tokenizer: str, folder: str, config: str, seed: str, wanted: str) -> None:
    """Trains undisturbed, then with kills until there were enough."""
    draw, kills, runs = random.Random(int(seed)), 0, 0
    settings = TrainingConfig.model_validate(json.loads(config))
    inputs = Artifact.open(Path(dataset)), Artifact.open(Path(tokenizer))
    pretrain(settings, QWEN3, 3, *inputs, Path(folder) / "undisturbed" / "final", quiet_context()[0])
    while kills < int(wanted):
        kills += kills_until_done(inputs, Path(folder) / f"killed-{runs}" / "final", settings, draw)
        runs += 1
    sys.stdout.write(f"{kills} {runs}")


if __name__ == "__main__":
    main(*sys.argv[1:])
