"""`lumi tokenizer` as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
from tiny_corpus import publish_corpus, quiet_context, some_documents
from typer.testing import CliRunner

from lumilab.cli.app import app
from lumilab.errors import LumiError
from lumilab.pipeline.records import StageRecord, write_record
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer

TEXT = "The river <|im_end|> watches 1984\n\ttwo\x1b[31m"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a tokenizer `t`, and a run that points at both."""
    folder = tmp_path_factory.mktemp("tokenizers")
    corpus = publish_corpus(folder / "corpus", some_documents(80))
    made = train_tokenizer(TokenizerConfig(vocabulary_size=512), corpus, folder / "t", quiet_context()[0])
    for stage, artifact in (("corpus", corpus), ("tokenizer", made)):
        record = StageRecord("KEY", f"../{artifact.path.name}", artifact.digest, {}, {}, None)
        write_record(folder / "run", stage, record)
    return folder


def lumi(*words: str | Path, given: str = "") -> str:
    """What a command prints; it must succeed."""
    result = CliRunner().invoke(app, ["tokenizer", *map(str, words)], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_encode_shows_every_token_and_decode_gives_the_text_back(place: Path) -> None:
    library = tokenizers.Tokenizer.from_file(str(place / "t" / "tokenizer.json"))
    library.encode_special_tokens = True
    ids = library.encode(TEXT, add_special_tokens=False).ids
    found = json.loads(lumi("encode", place / "t", TEXT, "--json"))
    assert found["ids"] == ids
    assert "".join(piece["text"] for piece in found["pieces"]) == TEXT
    for words, given in (([TEXT], ""), ([], TEXT)):
        shown = lumi("encode", place / "run", *words, given=given)
        assert " ".join(map(str, ids)) in shown
        assert f"{len(ids)} tokens" in shown
        assert "\x1b[31m" not in shown
    assert lumi("decode", place / "t", *map(str, ids)) == TEXT + "\n"
    assert json.loads(lumi("decode", place / "t", "--json", given=json.dumps(ids)))["text"] == TEXT


def test_special_tokens_are_seen_when_asked(place: Path) -> None:
    found = json.loads(lumi("encode", place / "t", TEXT, "--special", "--json"))
    assert {"id": 5, "text": "<|im_end|>"} in found["pieces"]
    assert lumi("decode", place / "t", "4", "5", "--keep-special") == "<|im_start|><|im_end|>\n"


def test_pieces_have_colours_at_a_terminal(place: Path) -> None:
    command = [sys.executable, "-m", "lumilab", "tokenizer", "encode", place / "t", "the river", "--special"]
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": "200", "TERM": "xterm-256color"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.count("\x1b[") > 4


def test_inspect(place: Path) -> None:
    shown = lumi("inspect", place / "run")
    assert "# Tokenizer card" in shown
    values = json.loads(lumi("inspect", place / "t", "--json"))
    assert values["roles"]["eos"] == {"token": "<|endoftext|>", "id": 2}
    assert values["identity"] == Tokenizer.load(place / "t").identity
    assert json.loads(lumi("inspect", place / "t", "--token", "72", "--json"))["72"]["bytes"] == b"!".hex()


def test_train_import_and_compare(place: Path, tmp_path: Path) -> None:
    lumi("train", place / "run", "--out", tmp_path / "a", "--set", "vocabulary_size=600", "--weight", "tiny=1")
    assert Tokenizer.load(tmp_path / "a").vocabulary_size > 400
    lumi("train", place / "corpus", "--out", tmp_path / "s", "--preset", "spm32k", "--set", "vocabulary_size=520")
    lumi("import", tmp_path / "s" / "tokenizer.model", "--out", tmp_path / "b", "--corpus", place / "run")
    assert "The same tokenizer" in lumi("compare", tmp_path / "s", tmp_path / "b")
    found = json.loads(lumi("compare", place / "t", tmp_path / "b", "--json"))
    assert not found["identical"]
    assert found["tokens"]["shared"] >= 72 + 256
    a, b = Tokenizer.load(place / "t"), Tokenizer.load(tmp_path / "b")
    (tmp_path / "text.txt").write_text("the river\n" * 9, encoding="utf-8")
    found = json.loads(lumi("compare", place / "t", tmp_path / "b", "--file", tmp_path / "text.txt", "--json"))
    assert [found[side]["tokens"] for side in ("a", "b")] == [len(each.encode("the river\n" * 9)) for each in (a, b)]
    assert "only in A" in lumi("compare", place / "t", tmp_path / "b")


def test_verify_proves_and_names_what_changed(place: Path, tmp_path: Path) -> None:
    checks = {each["check"]: each["good"] for each in json.loads(lumi("verify", place / "t", "--json"))}
    assert checks == {"files": True, "identity": True, "fast encoder": True, "round trip": True}
    shutil.copytree(place / "t", tmp_path / "t")
    file = tmp_path / "t" / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace("<|spare_9|>", "<|spare_x|>"), encoding="utf-8")
    with pytest.raises(LumiError) as error:
        lumi("verify", tmp_path / "t")
    assert error.value.exit_code == 4


@pytest.mark.parametrize("typed", ["", "yes\n", "no\n", "y\n", "YES please\n"])
def test_only_yes_in_capitals_deletes(place: Path, tmp_path: Path, typed: str) -> None:
    shutil.copytree(place / "t", tmp_path / "t")
    with pytest.raises(LumiError, match="Nothing was deleted"):
        lumi("delete", tmp_path / "t", given=typed)
    assert Tokenizer.load(tmp_path / "t").vocabulary_size


def test_yes_deletes(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "t", tmp_path / "t")
    assert "is deleted" in lumi("delete", tmp_path / "t", given="YES\n")
    assert list(tmp_path.iterdir()) == []


def test_deleting_by_a_link_deletes_the_tokenizer_and_what_a_killed_deletion_left(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "t", tmp_path / "t")
    shutil.copytree(place / "t", tmp_path / ".t.replaced-1")
    (tmp_path / "link").symlink_to(tmp_path / "t")
    assert "is deleted" in lumi("delete", tmp_path / "link", given="YES\n")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_standard_input_that_is_no_text_is_said_to_be_none(place: Path) -> None:
    command = [sys.executable, "-m", "lumilab", "tokenizer", "encode", str(place / "t")]
    done = subprocess.run(command, input=b"abc \xff", capture_output=True, check=False)
    assert done.returncode == 3
    assert "not UTF-8 text. Where: standard input, byte 4" in done.stderr.decode()


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        (["encode", "nowhere", "x"], 3, "nowhere"),
        (["decode", "t", "99999"], 3, "99999"),
        (["decode", "t", "x"], 2, "'x'"),
        (["delete", "corpus"], 4, "tokenizer"),
        (["train", "corpus", "--out", "t"], 2, "already"),
        (["train", "corpus", "--out", "new", "--preset", "nix"], 2, "bpe50k"),
        (["train", "corpus", "--out", "new", "--set", "vocabulary_size=5"], 2, "vocabulary-size"),
        (["train", "corpus", "--out", "new", "--weight", "tiny"], 2, "SOURCE=SHARE"),
        (["train", "corpus", "--out", "new", "--weight", "tinny=1"], 2, "tinny"),
        (["import", "./nowhere.json", "--out", "new"], 3, "nowhere.json"),
        (["import", "nonsense", "--out", "new"], 2, "nonsense"),
        (["encode", "t", "x", "--file", "y"], 2, "--file"),
    ],
)
def test_mistakes_are_explained(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, word: str
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(LumiError) as error:
        lumi(*words)
    assert error.value.exit_code == code
    assert word in str(error.value)
    assert not (place / "new").exists()
