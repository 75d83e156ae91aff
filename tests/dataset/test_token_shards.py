"""Shards against the sequence they were cut from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.shards import TokenShards, token_dtype
from lumilab.dataset.split_writer import SplitWriter
from lumilab.errors import DamageError

Publish = Callable[..., TokenShards]


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_is_slicing_wherever_the_shards_are_cut(shards_of: Publish, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=12))
    tokens = np.arange(sum(lengths)) * 7 % 65_536
    shards = shards_of(tokens, lengths, shard_tokens=data.draw(st.integers(1, 50)))
    assert (shards.token_count, shards.document_count) == (len(tokens), len(lengths))
    assert shards.text_bytes == 10 * len(tokens)
    np.testing.assert_array_equal(shards.document_ends, np.cumsum(lengths))
    assert shards.document_ends.dtype == np.int64
    for _ in range(5):
        start = data.draw(st.integers(0, len(tokens)))
        count = data.draw(st.integers(0, len(tokens) - start))
        np.testing.assert_array_equal(shards.read(start, count), tokens[start : start + count])


def test_a_document_longer_than_shards_goes_on_in_the_next(shards_of: Publish) -> None:
    shards = shards_of(np.arange(25), [22, 3], shard_tokens=10)
    np.testing.assert_array_equal(shards.document_ends, [22, 25])
    np.testing.assert_array_equal(shards.read(8, 15), np.arange(8, 23))


@pytest.mark.parametrize(("start", "count"), [(0, 11), (10, 1), (-1, 2), (11, 0), (3, -1)])
def test_reading_outside_is_an_error(shards_of: Publish, start: int, count: int) -> None:
    with pytest.raises(IndexError):
        shards_of(np.arange(10)).read(start, count)


@pytest.mark.parametrize(("vocabulary", "name"), [(512, "uint16"), (65_536, "uint16"), (65_537, "uint32")])
def test_the_type_holds_every_id(shards_of: Publish, vocabulary: int, name: str) -> None:
    assert token_dtype(vocabulary).name == name
    largest = shards_of(np.array([0, vocabulary - 1]), vocabulary=vocabulary).read(1, 1)
    assert largest.dtype.name == name
    assert largest[0] == vocabulary - 1


def test_what_is_read_cannot_be_written_to(shards_of: Publish) -> None:
    with pytest.raises(ValueError, match="read-only"):
        shards_of(np.arange(10)).read(0, 5)[0] = 1


def test_nothing_is_written_beside_the_files_of_the_contract(shards_of: Publish, tmp_path: Path) -> None:
    shards_of(np.arange(25), [22, 3], shard_tokens=10)
    names = {
        path.relative_to(tmp_path / "dataset-0").as_posix() for path in tmp_path.rglob("train/**/*") if path.is_file()
    }
    kinds = {f"train/source-000/{kind}-{number:05d}.npy" for kind in ("tokens", "ends") for number in range(3)}
    assert names == {"train/index.json"} | kinds


def test_a_split_that_is_not_there_is_said(shards_of: Publish, tmp_path: Path) -> None:
    shards_of(np.arange(10))
    with pytest.raises(DamageError, match="validation"):
        TokenShards.open(Artifact.open(tmp_path / "dataset-0"), "validation")


def changed_dataset(folder: Path, change: Callable[[dict[str, object]], None]) -> Artifact:
    """A dataset whose index was wrong when it was published."""
    with ArtifactBuilder(folder, kind="dataset", config={}) as builder:
        with (
            SplitWriter(builder, "train", np.dtype(np.uint16), 10) as writer,
            writer.stream("text") as stream,
        ):
            stream.append(np.arange(25), [25], 100)
        path = builder.path("train/index.json")
        index = json.loads(path.read_bytes())
        change(index)
        path.write_bytes(json.dumps(index).encode())
        return builder.publish()


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["sources"][0].update(tokens=24),
        lambda index: index.update(shard_tokens=9),
        lambda index: index.update(dtype="uint32"),
        lambda index: index["sources"][0]["shards"][1].update(documents=1),
        lambda index: index["sources"][0].pop("shards"),
        lambda index: index["sources"][0].update(shards=3),
        lambda index: index["sources"][0].update(shards=[], tokens=0, documents=0),
        lambda index: index.update(sources=[]),
        lambda index: index.pop("sources"),
    ],
)
def test_an_index_that_does_not_fit_is_damage(tmp_path: Path, change: Callable[[dict[str, object]], None]) -> None:
    artifact = changed_dataset(tmp_path / "d", change)
    with pytest.raises(DamageError) as error:
        TokenShards.open(artifact, "train")
    assert str(tmp_path) in str(error.value)
