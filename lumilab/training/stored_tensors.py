"""Tensors in a training state's folder, whole in one file or in pieces by rank, and read back by any number of ranks.

A group of tensors ("model", "optimizer", ...) is `GROUP.safetensors`, or with FSDP2 over W ranks the files
`GROUP.R-of-W.safetensors`. Each of those holds some consecutive rows of tensors, and its header says which
(`rows`: a tensor's name to its first row here and its rows in all). So a state is described by its files alone,
whatever wrote it, and a reader takes the rows it needs out of the files that hold them. The format is safetensors
throughout: torch.distributed.checkpoint would save the same, but describes its files in a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.errors import DamageError
from lumilab.training.row_shards import is_sharded, like, row_range, rows_here
from lumilab.training.weights import save_tensors

ENDING = ".safetensors"
ROWS = "rows"  # the key of a file's header


@dataclass(frozen=True)
class Pieces:
    """What one rank saves of a group of tensors: plain tensors, and where they belong.

    Attributes:
        tensors: whole ones, or this rank's rows.
        rows: for those of which these are only some rows, the first one's number and how many there are in all.
    """

    tensors: dict[str, Tensor]
    rows: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], rank: int, count: int) -> Pieces:
        """This rank's rows of sharded tensors; whole tensors, which are the same in all ranks, are the first one's."""
        taken = {name: tensor for name, tensor in tensors.items() if rank == 0 or is_sharded(tensor)}
        return cls(
            {name: rows_here(tensor.detach()) for name, tensor in taken.items()},
            {
                name: (row_range(len(tensor), rank, count)[0], len(tensor))
                for name, tensor in taken.items()
                if is_sharded(tensor)
            },
        )

    def write(self, folder: Path, group: str, rank: int, count: int) -> None:
        """Saves them as this rank's file of the group, if there is anything to save."""
        name = f"{group}.{rank}-of-{count}{ENDING}" if self.rows else f"{group}{ENDING}"
        header = {ROWS: json.dumps(self.rows, sort_keys=True)} if self.rows else None
        if self.tensors:
            save_tensors(folder / name, self.tensors, header)


class StoredTensors:
    """A group of tensors in the folder of an artifact.

    Raises:
        DamageError: a file is no whole safetensors file, or rows are missing.
    """

    def __init__(self, artifact: Artifact, group: str) -> None:
        self._pieces: dict[str, list[tuple[int, int, Path]]] = {}  # first row, rows in all, file
        self._where = artifact.path / f"{group}{ENDING}"
        for name in _files_of(artifact, group):
            self._note(artifact.file(name))
        if not self._pieces and group + ENDING not in artifact.manifest.files:
            raise self._damage("there is no such file")

    def names(self) -> Iterator[str]:
        """The tensors' names."""
        yield from sorted(self._pieces)

    def read(self, parameters: Mapping[str, Tensor] | None = None, rank: int = 0, count: int = 1) -> dict[str, Tensor]:
        """All tensors, on the CPU.

        Args:
            parameters: by name. A tensor named as a sharded one, or `<parameter>:<quantity>` after it, is read in this
                rank's rows and becomes sharded in the same way; all others are read whole.
            rank, count: which of how many ranks this is.
        """
        found = {}
        for name in self.names():
            owner = (parameters or {}).get(name.partition(":")[0])
            if owner is None or not is_sharded(owner) or not self._pieces[name][0][1]:
                found[name] = self.rows(name)
            else:
                found[name] = like(owner, self.rows(name, *row_range(len(owner), rank, count)))
        return found

    def _note(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                rows = json.loads((file.metadata() or {}).get(ROWS, "{}"))
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    shape = file.get_slice(name).get_shape()
                    first, total = rows.get(name) or (0, shape[0] if shape else 0)
                    self._pieces.setdefault(name, []).append((first, total, path))
        except SafetensorError as error:
            raise self._damage(str(error)) from error

    def rows(self, name: str, first: int = 0, end: int | None = None) -> Tensor:
        """Some rows of a tensor, put together from the files that hold them; None for up to the last."""
        pieces = sorted(self._pieces[name])
        total = pieces[0][1]
        end = total if end is None else end
        parts: list[Tensor] = []
        for start, _, path in pieces:
            with safe_open(path, framework="pt") as file:
                if not total:
                    whole: Tensor = file.get_tensor(name)
                    return whole  # a scalar
                piece = file.get_slice(name)
                begin, stop = max(first - start, 0), min(end - start, piece.get_shape()[0])
                if begin < stop or not parts:
                    parts.append(piece[begin:stop] if begin < stop else file.get_tensor(name)[:0])
        rows = torch.cat(parts)
        if len(rows) != end - first:
            raise self._damage(f"rows of {name} are in no file")
        return rows

    def _damage(self, what: str) -> DamageError:
        return DamageError(f"The tensors cannot be read: {what}", where=str(self._where), mend="restore the file.")


def _files_of(artifact: Artifact, group: str) -> list[str]:
    return [name for name in artifact.manifest.files if name.startswith(f"{group}.") and name.endswith(ENDING)]


def groups_of(artifact: Artifact) -> list[str]:
    """The groups of tensors in an artifact's folder."""
    return sorted({name.partition(".")[0] for name in artifact.manifest.files if name.endswith(ENDING)})
