"""A whole pipeline small enough for tests: its texts, its recipe, and ways to run `lumi` on it for real."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

SUBJECTS = ("The cat", "A river", "My neighbour", "The old clock", "An engineer", "This garden", "Our train")
VERBS = ("watches", "follows", "repairs", "forgets", "paints", "measures", "answers")
OBJECTS = ("the moon", "a wooden bridge", "seven letters", "the morning", "every question", "a green door")

RECIPE = """\
name: tiny-test
seed: 7
corpus:
  min_characters: 10
  sources:
    - kind: files
      paths: [texts]
tokenizer:
  vocabulary_size: 512
dataset:
  window: 64
  validation_share: 0.2
model:
  layers: 2
  width: 32
  heads: 2
  kv_heads: 1
  head_dim: 16
  feed_forward: 64
  context: 64
pretrain:
  steps: 24
  batch_size: 4
  dtype: float32
  device: cpu
  compile: "no"
  optimizer: {learning_rate: 0.01}
  validate_every: 8
  validation_windows: 4
  checkpoint_every: 4
  log_every: 2
conversations:
  validation_share: 0.2
  sources:
    - kind: messages
      paths: [conversations.jsonl]
sft:
  steps: 12
  batch_size: 4
  dtype: float32
  device: cpu
  compile: "no"
  optimizer: {learning_rate: 0.003}
  validate_every: 6
  validation_windows: 4
  checkpoint_every: 4
  log_every: 2
evaluation:
  prompts: ["What does the cat do?"]
  sampling: {temperature: 0.0, max_tokens: 8}
"""


def write_pipeline(folder: Path, recipe: str = RECIPE) -> Path:
    """Writes the texts, the conversations and the recipe below `folder`; returns the recipe's path."""
    draw = random.Random(0)
    texts = folder / "texts"
    texts.mkdir(parents=True)
    documents = [_paragraph(draw, sentences=12) for _ in range(120)]
    (texts / "stories.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    (texts / "note.txt").write_text(_paragraph(draw, sentences=40))
    with (folder / "conversations.jsonl").open("w") as file:
        for _ in range(60):
            subject, answer = draw.choice(SUBJECTS), _sentence(draw)
            messages = [
                {"role": "user", "content": f"What does {subject.lower()} do?"},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    path = folder / "recipe.yaml"
    path.write_text(recipe)
    return path


def _sentence(draw: random.Random) -> str:
    return f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)} {draw.choice(OBJECTS)} {draw.randint(2, 99)} times."


def _paragraph(draw: random.Random, sentences: int) -> str:
    return " ".join(_sentence(draw) for _ in range(sentences))


def environment() -> dict[str, str]:
    """One thread each, so that tests side by side do not slow one another down and sums have one order."""
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def lumi_process(*words: str | Path, cwd: Path, check: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `lumi WORDS` in a process, as a user would; `check` is the exit code it must have."""
    done = subprocess.run(
        [sys.executable, "-m", "lumilab", *map(str, words)],
        cwd=cwd, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=280, check=False,
    )  # fmt: skip
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def start_lumi(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Starts `lumi WORDS` without waiting for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "lumilab", *map(str, words)],
        cwd=cwd, env=environment(), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def digests(run: Path) -> dict[str, str]:
    """The digest of each stage's current artifact in a run's folder."""
    stages = json.loads((run / "run.json").read_text())["stages"]
    return {name: record["digest"] for name, record in stages.items()}


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all it started, as a power cut or the out-of-memory killer would."""
    parent = psutil.Process(pid)
    family = [*parent.children(recursive=True), parent]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=30)


def kill_at_random(*arguments: object, cwd: Path, kills: int, seconds: float, finished: Callable[[], None]) -> None:
    """Runs `lumi ARGUMENTS` again and again until it was killed `kills` times at random moments.

    Args:
        seconds: about how long a run takes. Later runs may be faster than the one that was measured (what was compiled
            then is there now), so a run that ends before its kill makes the next wait shorter.
        finished: called after a run that ended by itself; it checks the result and makes room for the next.
    """
    draw = random.Random(kills)
    while kills:
        process = start_lumi(*arguments, cwd=cwd)
        time.sleep(draw.uniform(0.2, 1.0) * seconds)
        if process.poll() is None:
            kill_tree(process.pid)
            process.communicate()
            kills -= 1
        else:
            output = process.communicate()[0]
            assert process.returncode == 0, output
            finished()
            seconds *= 0.7
