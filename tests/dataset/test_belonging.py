"""A dataset opened with the wrong tokenizer, or with a part of it gone: said at once, and what mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.dataset.belonging import tokenizer_for
from lumilab.dataset.shards import TokenShards
from lumilab.errors import DamageError, InputError, LumiError, MismatchError
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer


def test_the_right_tokenizer_is_loaded(dataset: Artifact, tokenizer: Artifact) -> None:
    assert tokenizer_for(dataset, tokenizer).identity == Tokenizer.load(tokenizer.path).identity


def test_the_wrong_one_is_refused_with_both_names_and_the_command(
    dataset: Artifact, tokenizer: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    settings = TokenizerConfig(vocabulary_size=512, min_frequency=80)
    other = train_tokenizer(settings, corpus, tmp_path / "other", quiet_context()[0])
    with pytest.raises(MismatchError) as error:
        tokenizer_for(dataset, other)
    for artifact in (tokenizer, other):
        assert f"{Tokenizer.load(artifact.path).identity[:12]} ({artifact.path})" in error.value.what
    assert f"lumi pack --repack {dataset.path} --tokenizer {other.path}" in str(error.value.mend)
    assert error.value.exit_code == 4


@pytest.fixture
def copy(dataset: Artifact, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset.path, tmp_path / "dataset"))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize("name", ["train/source-000/tokens-00001.npy", "validation/source-000/ends-00000.npy"])
@pytest.mark.parametrize(("spoil", "says"), [(Path.unlink, "is missing"), (shorten, "bytes instead of")])
def test_a_missing_or_short_file_is_named(copy: Path, name: str, spoil: Callable[[Path], None], says: str) -> None:
    spoil(copy / name)
    with pytest.raises(DamageError, match=says) as error:
        Artifact.open(copy, kind="dataset")
    assert str(copy / name) in str(error.value)


@pytest.mark.parametrize("name", ["train/index.json", "validation/index.json"])
def test_so_is_a_missing_index(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DamageError) as error:
        Artifact.open(copy, kind="dataset")
    assert str(copy / name) in str(error.value)


def test_a_folder_whose_writing_never_ended_is_no_dataset(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"manifest\.json"):
        Artifact.open(copy, kind="dataset")


def test_a_file_that_goes_while_it_is_open_is_named(copy: Path) -> None:
    artifact = Artifact.open(copy, kind="dataset")
    (copy / "train/source-000/tokens-00000.npy").unlink()
    with pytest.raises(LumiError, match=r"tokens-00000\.npy"):
        TokenShards.open(artifact, "train")
