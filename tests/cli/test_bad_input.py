"""What a person gets wrong: one paragraph, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import lumi
from tiny_pipeline import RECIPE, environment, lumi_process, write_pipeline

from lumilab.artifact import Artifact
from lumilab.pipeline.records import read_records
from lumilab.recipe import load_recipe


def refused(*words: str | Path, cwd: Path, code: int, says: list[str], by: Callable[..., Any] = lumi) -> None:
    """The command ends with `code`, says all of `says` on standard error in one paragraph, and leaves no traces."""
    done = by(*words, cwd=cwd)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    for part in says:
        assert part in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert errors and all(len(line) < 900 for line in errors)
    hidden = [path for path in cwd.rglob(".*") if path.is_dir()]
    # A ledger holds finished tasks alone, and the next build, after the mistake is mended, goes on from them.
    assert [path for path in hidden if path.suffix != ".work"] == []


def published(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.rglob("manifest.json"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pretrain.step=3"], ["Unknown key pretrain.step", "did you mean pretrain.steps?"]),
        (["modle.width=3"], ["Unknown key modle", "did you mean model"]),
        (["pretrain.steps=many"], ["pretrain.steps", "'many'"]),
        (["pretrain.steps=0"], ["pretrain.steps", "greater than or equal to 1"]),
        (["pretrain.steps=1.5"], ["pretrain.steps", "1.5"]),
        (["model.heads=3", "model.kv_heads=2"], ["heads (3) must be a multiple of kv_heads (2)"]),
        (["dataset.window=128"], ["dataset.window (128) is longer than model.context (64)", "lower dataset.window"]),
        (["pretrain.micro_batch_size=3"], ["batch_size (4) must be a multiple of micro_batch_size (3)"]),
        (["pretrain"], ["not of the form key=value"]),
        (["--until", "trian"], ["no stage called trian", "pretrain"]),
        (["--untill", "sft"], ["No such option"]),
    ],
)
def test_a_wrong_word_on_the_command_line(tmp_path: Path, words: list[str], says: list[str]) -> None:
    recipe = write_pipeline(tmp_path)
    refused("run", recipe, *words, "--out", tmp_path / "run", cwd=tmp_path, code=2, says=says)
    assert not (tmp_path / "run").exists()


def test_a_command_by_the_name_that_others_give_it(tmp_path: Path) -> None:
    refused("train", cwd=tmp_path, code=2, says=["No such command", "lumi run RECIPE --until pretrain"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [unclosed", ["not valid YAML", "recipe.yaml"]),
        ("- a\n- list\n", ["must be a mapping"]),
        ("", ["name is missing"]),
        (RECIPE + "extends: nothing-like-this\n", ["no preset called nothing-like-this", "quickstart"]),
        (RECIPE + "extends: recipe.yaml\n", ["in a circle"]),
        (
            RECIPE.replace("  steps: 24", "  stepz: 24"),
            ["Unknown key pretrain.stepz", "recipe.yaml:22", "pretrain.steps"],
        ),
        (RECIPE.replace("kind: files", "kind: flies"), ["corpus.sources.0", "flies"]),
    ],
)
def test_a_wrong_recipe_file(tmp_path: Path, text: str, says: list[str]) -> None:
    write_pipeline(tmp_path, text)
    refused("run", "recipe.yaml", "--out", "run", cwd=tmp_path, code=2, says=says)


def test_a_recipe_that_does_not_exist(tmp_path: Path) -> None:
    refused("run", "absent.yaml", cwd=tmp_path, code=2, says=["absent.yaml", "does not exist"])
    refused("run", "quickstrat", cwd=tmp_path, code=2, says=["did you mean quickstart?"])


def test_a_source_that_does_not_exist(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    shutil.rmtree(tmp_path / "texts")
    refused("run", "recipe.yaml", "--out", "run", cwd=tmp_path, code=3, says=["texts"])
    assert published(tmp_path) == []


def test_an_empty_corpus(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    refused(
        "run", "recipe.yaml", "corpus.min_characters=1000000", "--out", "run",
        cwd=tmp_path, code=3, says=["corpus", "min_characters"],
    )  # fmt: skip
    assert published(tmp_path) == []


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    for number in range(10):
        (tmp_path / "texts" / f"latin-{number}.txt").write_bytes("caf\xe9 ".encode("latin-1") * 30)
    refused("run", "recipe.yaml", "--out", "run", cwd=tmp_path, code=3, says=["latin-0.txt", "max_bad_share"])
    assert published(tmp_path) == []


def test_a_few_records_that_are_not_utf8_are_quarantined_and_counted(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "texts" / "latin.txt").write_bytes("caf\xe9 ".encode("latin-1") * 30)
    lumi(
        "run", "recipe.yaml", "corpus.max_bad_share=0.05", "--until", "corpus", "--out", "run", cwd=tmp_path, check=0
    )  # fmt: skip
    corpus = Artifact.open(tmp_path / "run" / read_records(tmp_path / "run")["corpus"].path)
    assert b"latin.txt" in corpus.file("quarantine.jsonl").read_bytes()


@pytest.mark.parametrize("command", ["generate", "chat", "inspect", "verify"])
def test_a_checkpoint_folder_without_a_manifest(copy: Path, command: str) -> None:
    checkpoint = copy / "run" / read_records(copy / "run")["sft"].path
    (checkpoint / "manifest.json").unlink()
    prompt = ["--prompt", "The cat"] if command == "generate" else []
    refused(command, checkpoint, *prompt, cwd=copy, code=3, says=[str(checkpoint), "manifest"])


def test_a_damaged_checkpoint_is_not_loaded(copy: Path) -> None:
    checkpoint = copy / "run" / read_records(copy / "run")["sft"].path
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    refused("generate", checkpoint, "--prompt", "The", cwd=copy, code=4, says=["model.safetensors"])


def test_a_prompt_longer_than_the_context(finished: Path) -> None:
    done = lumi("generate", "run", "--prompt", "The cat watches the moon. " * 60, cwd=finished)
    assert done.returncode == 3 and "64" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--temperature", "-1"], "temperature"),
        (["--top-p", "1.5"], "--top-p"),
        (["--top-p", "nan"], "--top-p"),
        (["--max-tokens", "0"], "max-tokens"),
    ],
)
def test_impossible_sampling(finished: Path, words: list[str], says: str) -> None:
    done = lumi("generate", "run", "--prompt", "The", *words, cwd=finished)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_a_tokenizer_that_is_not_the_datasets(finished: Path, tmp_path: Path) -> None:
    """Handed a dataset and a foreign tokenizer, the training stage refuses before it writes anything."""
    other = tmp_path / "other"
    lumi("run", write_pipeline(other), "corpus.limit=3", "--until", "tokenizer", "--out", "run",
         cwd=other, check=0)  # fmt: skip
    recipe = load_recipe(str(finished / "recipe.yaml")).recipe.model_dump(mode="json")
    mine, theirs = read_records(finished / "run"), read_records(other / "run")
    order = {
        "stage": "pretrain",
        "recipe": recipe,
        "inputs": {
            "dataset": str(finished / "run" / mine["dataset"].path),
            "tokenizer": str(other / "run" / theirs["tokenizer"].path),
        },
        "folder": str(tmp_path / "key"),
        "target": str(tmp_path / "key" / "final"),
        "replaces": False,
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "lumilab.pipeline.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    assert worker.stdin is not None and worker.stderr is not None
    worker.stdin.write(json.dumps(order) + "\n")
    worker.stdin.flush()  # and not closed: that would ask the worker to stop
    assert worker.wait(timeout=120) == 4
    said = worker.stderr.read()
    worker.stdin.close()
    worker.stderr.close()
    assert "tokenizer" in said and "Traceback" not in said
    assert not (tmp_path / "key" / "final").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a corpus and a tokenizer, and for no dataset, where the machine lets us make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and os.name == "posix" and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("making a small file system needs root and mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    recipe = write_pipeline(tmp_path / "input")
    refused("run", recipe, "--out", small_disk / "run", cwd=small_disk, code=5, says=["disk is full"], by=lumi_process)
    # What was published before the disk was full is whole.
    assert {path.parent.parent.name for path in small_disk.rglob("manifest.json")} == {"corpus", "tokenizer"}
    lumi("verify", small_disk / "run", cwd=tmp_path, check=0)
