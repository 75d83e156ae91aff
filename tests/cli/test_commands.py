"""The commands as a user types them, on a finished run."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import yaml
from command_line import lumi
from tiny_pipeline import environment, lumi_process

import lumilab
from lumilab.pipeline.records import read_records
from lumilab.recipe import load_recipe


def test_version_and_help(tmp_path: Path) -> None:
    assert lumi_process("--version", cwd=tmp_path, check=0).stdout.strip() == lumilab.__version__
    words = lumi("--help", cwd=tmp_path, check=0).stdout
    for command in ("quickstart", "run", "config", "inspect", "verify", "generate", "chat", "doctor"):
        assert command in words


def test_ctrl_c_while_the_program_loads_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("""import sys

class Interrupting:
    def find_spec(self, name, *where):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
""")
    done = subprocess.run(
        [sys.executable, "-m", "lumilab", "--help"],
        env=environment() | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "")


def test_without_a_terminal_the_menu_points_to_help(tmp_path: Path) -> None:
    assert "lumi --help" in lumi(cwd=tmp_path, check=0).stdout


def test_config_show_prints_a_recipe_that_loads_to_the_same(tmp_path: Path, finished: Path) -> None:
    shown = lumi("config", "show", "recipe.yaml", "pretrain.steps=99", cwd=finished, check=0).stdout
    again = tmp_path / "again.yaml"
    again.write_text(shown)
    recipe = load_recipe(str(again)).recipe
    assert recipe.pretrain.steps == 99
    assert yaml.safe_load(shown) == recipe.model_dump(mode="json")


def test_config_explain_tells_value_origin_and_meaning(finished: Path) -> None:
    lines = lumi("config", "explain", "recipe.yaml", "seed=9", cwd=finished, check=0).stdout.splitlines()
    by_key = {line.split(" = ")[0]: line for line in lines}
    assert "command line" in by_key["seed"] and "= 9" in by_key["seed"]
    assert "recipe.yaml:" in by_key["model.width"] and "residual stream" in by_key["model.width"]
    assert "default" in by_key["model.rope_theta"]
    assert "corpus.sources.0.paths" in by_key


def test_config_list_names_the_presets(tmp_path: Path) -> None:
    listed = lumi("config", "list", cwd=tmp_path, check=0).stdout
    assert "quickstart" in listed and "tiny" in listed


def test_inspect_shows_a_run_and_an_artifact(finished: Path) -> None:
    table = lumi("inspect", "run", cwd=finished, check=0).stdout
    for kind in ("corpus", "tokenizer", "dataset", "checkpoint", "conversations", "evaluation"):
        assert kind in table
    folder = finished / "run" / read_records(finished / "run")["tokenizer"].path
    card = lumi("inspect", folder, cwd=finished, check=0).stdout
    assert "vocabulary_size" in card and "tokenizer.json" in card and "made from" in card


def test_generate_is_repeatable_and_follows_the_seed(finished: Path) -> None:
    words = ["generate", "run", "--prompt", "The cat", "--max-tokens", "20"]
    first = lumi_process(*words, cwd=finished, check=0)
    assert first.stdout.startswith("The cat") and len(first.stdout) > len("The cat\n")
    assert lumi(*words, cwd=finished, check=0).stdout == first.stdout
    piped = ["-" if word == "The cat" else word for word in words]
    assert lumi(*piped, cwd=finished, given="The cat", check=0).stdout == first.stdout
    assert lumi(*words, "--seed", "1", cwd=finished, check=0).stdout != first.stdout


def test_chat_answers_piped_questions(finished: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lumilab", "chat", "run", "--max-tokens", "12", "--temperature", "0"],
        cwd=finished, env=environment(), capture_output=True, text=True, timeout=120, check=False,
        input="What does the cat do?\nAnd a river?\n\nWhat does the cat do?\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    turns = done.stdout.split("you: ")[1:]
    assert [turn.splitlines()[0] for turn in turns] == [
        "What does the cat do?",
        "And a river?",
        "What does the cat do?",
    ]
    assert "new conversation" in done.stderr
    # After the reset the same question gets the same greedy answer: nothing of the old conversation is left.
    assert turns[0].splitlines()[1:] == turns[2].splitlines()[1:]


def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    done = lumi("doctor", cwd=tmp_path)
    for subject in ("python", "torch", "gpu", "bfloat16", "c++ compiler", "memory", "disk", "hub", "versions"):
        assert subject in done.stdout
    assert done.returncode == 0, done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = lumi("run", "absent.yaml", "--debug", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_menu_runs_a_choice_and_asks_again(tmp_path: Path) -> None:
    """Drives the real menu over a pseudo-terminal: up once to `leave`'s neighbour (doctor), run it, decline another."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "lumilab"], environment() | {"TERM": "xterm"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 120, 0, 0))  # rows for the whole menu
    seen = ""

    def wait_for(text: str) -> None:
        nonlocal seen
        deadline = time.monotonic() + 90
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 65536).decode(errors="replace")

    wait_for("What shall we do?")
    wait_for("leave")
    os.write(terminal, b"\x1b[A\x1b[A\r")  # up from the first line wraps to `leave`, once more is `doctor`
    wait_for("versions")
    wait_for("Do something else?")
    os.write(terminal, b"n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "Done." in seen
