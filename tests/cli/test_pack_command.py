"""`lumi pack` as a person uses it: a recipe's dataset, an old one encoded again, and what it says to bad input."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import lumi
from tiny_corpus import publish_corpus, quiet_context, some_documents
from tiny_pipeline import write_pipeline

from lumilab.artifact import Artifact
from lumilab.cli.pack import pack
from lumilab.corpus.shards import read_documents
from lumilab.dataset.pack import build_dataset
from lumilab.dataset.shards import TokenShards
from lumilab.errors import ConfigError, DamageError, InputError, LumiError, MismatchError
from lumilab.pipeline.repack import repack
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer

CONFIG = DatasetConfig(window=32, validation_share=0.2, packing="best_fit", workers=1)


def listing(folder: Path) -> list[str]:
    """All that is in a folder but locks."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix != ".lock")


# --- a recipe's dataset ----------------------------------------------------------------------------------------------


def test_a_recipes_dataset_and_then_its_repacking_with_another_tokenizer(tmp_path: Path) -> None:
    recipe = write_pipeline(tmp_path)
    first = lumi("pack", recipe, "--out", "run", cwd=tmp_path, check=0)
    assert "marks of documents" in first.stdout + first.stderr
    (folder,) = tmp_path.glob("run/dataset/[!.]*")
    assert str(folder) in first.stdout + first.stderr

    (tokenizer,) = tmp_path.glob("run/tokenizer/[!.]*")
    lumi("run", recipe, "tokenizer.min_frequency=50", "--until", "tokenizer", "--out", "run", cwd=tmp_path, check=0)
    (other,) = set(tmp_path.glob("run/tokenizer/[!.]*")) - {tokenizer}
    repacked = lumi("pack", "--repack", folder, cwd=tmp_path, check=0)
    for path in (tokenizer, other):
        identity = Tokenizer.load(path).identity[:12]
        assert f"{identity} ({path})" in repacked.stdout + repacked.stderr
    (new,) = set(tmp_path.glob("run/dataset/[!.]*")) - {folder}
    assert Artifact.open(new).manifest.config["tokenizer_identity"] == Tokenizer.load(other).identity
    packed = lumi("pack", recipe, "tokenizer.min_frequency=50", "--out", "run", cwd=tmp_path, check=0)
    assert "dataset: up to date" in packed.stdout + packed.stderr, "the run finds what was packed again"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "Which recipe?"),
        ({"recipe": "quickstart", "tokenizer": Path("x")}, "--tokenizer belongs to --repack"),
        ({"recipe": "quickstart", "again": Path("x")}, "takes everything from the dataset itself"),
        ({"recipe": "quickstart", "overrides": ["dataset.overlap=8"]}, "set packing to sliding"),
        ({"recipe": "quickstart", "overrides": ["dataset.packing=bestfit"]}, "dataset.packing"),
    ],
)
def test_a_wrong_word_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        pack(**settings)
    assert says in str(error.value)
    assert list(tmp_path.iterdir()) == []


# --- what was packed before ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, two tokenizers and the dataset that was made with the first."""
    folder = tmp_path_factory.mktemp("packed")
    corpus = publish_corpus(folder / "corpus", some_documents(80))
    context = quiet_context()[0]
    for name, size in (("one", 512), ("two", 600)):
        settings = TokenizerConfig(vocabulary_size=size, min_frequency=2 if name == "one" else 90)
        train_tokenizer(settings, corpus, folder / name, context)
    build_dataset(CONFIG, 3, corpus, Artifact.open(folder / "one"), folder / "dataset", context)
    return folder


@pytest.fixture
def place(packed: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed freely."""
    shutil.copytree(packed, tmp_path / "place")
    return tmp_path / "place"


def test_repacking_is_packing_with_the_other_tokenizer(place: Path) -> None:
    context, said = quiet_context()
    new = repack(place / "dataset", place / "two", place / "new", context)
    corpus, two = Artifact.open(place / "corpus"), Artifact.open(place / "two")
    assert new.digest == build_dataset(CONFIG, 3, corpus, two, place / "direct", quiet_context()[0]).digest
    decoder, texts = Tokenizer.load(two.path), []
    for split in ("train", "validation"):
        shards = TokenShards.open(new, split)
        start = 0
        for end in shards.document_ends.tolist():
            texts.append(decoder.decode(shards.read(start, end - start).tolist()))
            start = end
    assert sorted(texts) == sorted(document.text for document in read_documents(corpus))
    for name in ("one", "two"):
        assert f"{Tokenizer.load(place / name).identity[:12]} ({place / name})" in said.getvalue()
    assert repack(place / "dataset", place / "two", place / "new", context).digest == new.digest


def test_the_same_tokenizer_is_nothing_to_do(place: Path) -> None:
    before = listing(place)
    context, said = quiet_context()
    assert repack(place / "dataset", place / "one", None, context).path == place / "dataset"
    assert "nothing to do" in said.getvalue()
    assert listing(place) == before


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (lambda place: shutil.rmtree(place / "corpus"), InputError, ["The corpus does not exist", "/corpus"]),
        (lambda place: shutil.rmtree(place / "two"), InputError, ["The tokenizer does not exist", "/two"]),
        (lambda place: shutil.rmtree(place / "dataset"), InputError, ["The dataset does not exist", "/dataset"]),
        (
            lambda place: cut_short(place / "corpus/documents/shard-00001.jsonl.zst"),
            DamageError,
            ["shard-00001.jsonl.zst", "bytes instead of"],
        ),
        (
            lambda place: flip_a_byte(place / "corpus/documents/shard-00001.jsonl.zst"),
            DamageError,
            ["shard-00001.jsonl.zst", "cannot be read"],
        ),
        (lambda place: (place / "corpus/documents/shard-00000.jsonl.zst").unlink(), DamageError, ["is missing"]),
        (lambda place: flip_a_byte(place / "two/tokenizer.json"), DamageError, ["tokenizer.json", "SHA-256"]),
        (
            lambda place: (shutil.rmtree(place / "two"), shutil.copytree(place / "corpus", place / "two")),
            MismatchError,
            ["Expected a tokenizer, but this is a corpus"],
        ),
        (
            lambda place: (
                shutil.rmtree(place / "corpus"),
                publish_corpus(place / "corpus", some_documents(80, seed=1)),
            ),
            MismatchError,
            ["was made of the corpus", "in its place"],
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_bad_input_is_named_and_nothing_is_written(place: Path, spoil, kind: type[LumiError], says: list[str]) -> None:  # type: ignore[no-untyped-def]
    spoil(place)
    before = listing(place)
    with pytest.raises(kind) as error:
        repack(place / "dataset", place / "two", place / "new", quiet_context()[0])
    for part in says:
        assert part in str(error.value)
    # What other tasks encoded before the damage was met waits, hidden, for the file to be mended.
    assert [name for name in listing(place) if not name.startswith(".new.work")] == before
    assert error.value.exit_code == (3 if kind is InputError else 4)


def test_bad_input_ends_the_command_with_its_code_and_no_traceback(place: Path) -> None:
    cut_short(place / "corpus/documents/shard-00001.jsonl.zst")
    done = lumi("pack", "--repack", "dataset", "--tokenizer", "two", "--out", "new", cwd=place)
    assert done.returncode == 4, done.stderr
    assert "shard-00001.jsonl.zst has" in done.stderr or "bytes instead of" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "new").exists()


def test_without_a_run_the_tokenizer_must_be_given(place: Path) -> None:
    with pytest.raises(InputError, match=r"Which tokenizer\?.*--tokenizer"):
        repack(place / "dataset", None, None, quiet_context()[0])


def test_another_dataset_is_not_overwritten(place: Path) -> None:
    before = Artifact.open(place / "dataset").digest
    with pytest.raises(MismatchError, match="in the way"):
        repack(place / "dataset", place / "two", place / "dataset", quiet_context()[0])
    assert Artifact.open(place / "dataset").digest == before


def test_a_dataset_with_other_windows_is_not_taken_for_the_result(place: Path) -> None:
    config = CONFIG.model_copy(update={"window": 16})
    corpus, one = Artifact.open(place / "corpus"), Artifact.open(place / "one")
    build_dataset(config, 1, corpus, one, place / "narrow", quiet_context()[0])
    repack(place / "dataset", place / "two", place / "new", quiet_context()[0])
    with pytest.raises(MismatchError, match="in the way"):
        repack(place / "narrow", place / "two", place / "new", quiet_context()[0])
    assert repack(place / "dataset", place / "two", place / "new", quiet_context()[0]).path == place / "new"


def test_a_folder_that_is_no_dataset_is_seen_before_the_work(place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine/notes.txt").write_text("mine")
    before = listing(place)
    with pytest.raises(ConfigError, match="no dataset"):
        repack(place / "dataset", place / "two", place / "mine", quiet_context()[0])
    assert listing(place) == before
