"""Tensors in pieces: any number of ranks reads what any other number wrote, and what is not whole is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.errors import DamageError
from lumilab.training.row_shards import row_range
from lumilab.training.stored_tensors import Pieces, StoredTensors, groups_of


def published(folder: Path, pieces: list[Pieces]) -> Artifact:
    with ArtifactBuilder(folder, kind="training-state", config={}) as builder:
        for rank, each in enumerate(pieces):
            each.write(builder.folder, "model", rank, len(pieces))
        return builder.publish(replace=True)


def cut(tensors: dict[str, torch.Tensor], count: int) -> list[Pieces]:
    """As FSDP2 would: `torch.chunk` says who holds which rows."""
    pieces = [Pieces({}, {}) for _ in range(count)]
    for name, tensor in tensors.items():
        chunks = list(tensor.chunk(count))
        chunks += [tensor[:0]] * (count - len(chunks))
        first = 0
        for each, chunk in zip(pieces, chunks, strict=True):
            each.tensors[name] = chunk
            each.rows[name] = (first, len(tensor))
            first += len(chunk)
    return pieces


@given(rows=st.integers(1, 13), writers=st.integers(1, 5), readers=st.integers(1, 5))
def test_any_number_of_ranks_reads_what_any_other_wrote(
    tmp_path_factory: pytest.TempPathFactory, rows: int, writers: int, readers: int
) -> None:
    tensors = {"a": torch.arange(rows * 3.0).view(rows, 3), "b": torch.arange(rows, dtype=torch.float64)}
    pieces = cut(tensors, writers)
    pieces[0].tensors["count"] = torch.tensor(7.0)
    stored = StoredTensors(published(tmp_path_factory.mktemp("pieces") / "state", pieces), "model")
    found = stored.read()
    assert set(found) == {*tensors, "count"} and found["count"] == 7 and found["count"].shape == ()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        parts = [stored.rows(name, *row_range(rows, rank, readers)) for rank in range(readers)]
        chunks = tensor.chunk(readers)
        assert [len(part) for part in parts] == [len(chunk) for chunk in chunks] + [0] * (readers - len(chunks))
        assert torch.equal(torch.cat(parts), tensor)


def test_one_rank_writes_a_file_that_every_tool_reads(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2, 3), "b": torch.tensor(1.5)}
    artifact = published(tmp_path / "state", [Pieces.of(tensors, 0, 1)])
    assert set(artifact.manifest.files) == {"model.safetensors"} and groups_of(artifact) == ["model"]
    from safetensors.torch import load_file

    assert torch.equal(load_file(artifact.file("model.safetensors"))["a"], tensors["a"])


def test_replicas_are_written_once(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2, 3)}
    artifact = published(tmp_path / "state", [Pieces.of(tensors, rank, 2) for rank in range(2)])
    assert set(artifact.manifest.files) == {"model.safetensors"}


def test_missing_rows_are_damage(tmp_path: Path) -> None:
    pieces = cut({"a": torch.ones(6, 2)}, 3)
    pieces[1].tensors.clear()
    with pytest.raises(DamageError, match="rows of a are in no file"):
        StoredTensors(published(tmp_path / "state", pieces), "model").read()


def test_a_file_that_is_no_safetensors_is_damage(tmp_path: Path) -> None:
    artifact = published(tmp_path / "state", cut({"a": torch.ones(6, 2)}, 2))
    path = artifact.file("model.1-of-2.safetensors")
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(DamageError, match="cannot be read"):
        StoredTensors(artifact, "model")
