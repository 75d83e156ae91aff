"""`lumi verify`: exit 0 on what was published, 4 after one flipped byte in any file, naming it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from command_line import lumi
from tiny_pipeline import lumi_process, write_pipeline

from lumilab.artifact import artifacts_below, walk
from lumilab.pipeline.records import read_records


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(data)


def problems_of(run: Path) -> list[str]:
    return [str(problem) for folder in artifacts_below(run) for step in walk(folder) for problem in step.problems]


def test_a_finished_run_is_whole(finished: Path) -> None:
    done = lumi_process("verify", "run", cwd=finished, check=0)
    assert "every byte as published" in done.stdout
    assert "raw files" in done.stdout


def test_a_model_is_proven_back_to_its_raw_files(finished: Path) -> None:
    path = read_records(finished / "run")["sft"].path
    done = lumi("verify", finished / "run" / path, cwd=finished, check=0)
    for stage in ("checkpoint", "conversations", "dataset", "tokenizer", "corpus", "raw files"):
        assert stage in done.stdout


def test_one_flipped_byte_in_any_file_is_found_and_named(copy: Path) -> None:
    draw = random.Random(5)
    run = copy / "run"
    files = [path for folder in artifacts_below(run) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert problems_of(run) == []
    for path in files:
        size = path.stat().st_size
        if size == 0:
            path.write_bytes(b"\0")
        else:
            position = draw.randrange(size)
            flip(path, position)
        found = problems_of(run)
        assert any(str(path) in problem for problem in found), path
        if size == 0:
            path.write_bytes(b"")
        else:
            flip(path, position)
    assert problems_of(run) == []


@pytest.mark.parametrize("stage", ["corpus", "tokenizer", "dataset", "conversations", "pretrain", "sft", "evaluation"])
def test_the_command_exits_4_and_names_the_file(copy: Path, stage: str) -> None:
    folder = copy / "run" / read_records(copy / "run")[stage].path
    file = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    flip(file, file.stat().st_size // 2)
    done = lumi("verify", "run", cwd=copy)
    assert done.returncode == 4 and str(file) in done.stderr and "Traceback" not in done.stderr


def test_a_changed_raw_file_is_named(tmp_path: Path) -> None:
    # A run of its own: a copy's corpus remembers the original's texts, which other tests read.
    lumi("run", write_pipeline(tmp_path), "--until", "corpus", "--out", "run", cwd=tmp_path, check=0)
    note = tmp_path / "texts" / "note.txt"
    note.write_bytes(note.read_bytes() + b"!")
    done = lumi("verify", "run", cwd=tmp_path)
    assert done.returncode == 4 and "note.txt is a raw file that has changed" in done.stderr
    note.unlink()
    done = lumi("verify", "run", cwd=tmp_path)
    assert done.returncode == 4 and "note.txt is a raw file that is no longer there" in done.stderr


def test_a_file_that_does_not_belong_is_named(copy: Path) -> None:
    corpus = copy / "run" / read_records(copy / "run")["corpus"].path
    (corpus / "extra.txt").write_text("hello")
    done = lumi("verify", "run", cwd=copy)
    assert done.returncode == 4 and "extra.txt is not part of the artifact" in done.stderr


def test_a_missing_input_is_named(copy: Path) -> None:
    tokenizer = copy / "run" / read_records(copy / "run")["tokenizer"].path
    shutil.rmtree(tokenizer)
    done = lumi("verify", "run", cwd=copy)
    assert done.returncode == 4 and str(tokenizer) in done.stderr


def test_a_result_that_was_superseded_must_be_whole_but_its_raw_files_may_have_changed(tmp_path: Path) -> None:
    recipe = write_pipeline(tmp_path)
    lumi("run", recipe, "--until", "corpus", "--out", "run", cwd=tmp_path, check=0)
    old = tmp_path / "run" / read_records(tmp_path / "run")["corpus"].path
    (tmp_path / "texts" / "note.txt").write_text("Another text, long enough to be kept.")
    lumi("run", recipe, "--until", "corpus", "--out", "run", cwd=tmp_path, check=0)
    assert "2 artifacts verified" in lumi("verify", "run", cwd=tmp_path, check=0).stdout
    flip(old / "card.json", 5)
    done = lumi("verify", "run", cwd=tmp_path)
    assert done.returncode == 4 and str(old / "card.json") in done.stderr


def test_an_empty_folder_has_nothing_to_verify(tmp_path: Path) -> None:
    done = lumi("verify", tmp_path, cwd=tmp_path)
    assert done.returncode == 3 and "No artifact is here" in done.stderr
