"""Tensors to and from safetensors files, in the one format that the rest of the world opens; never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from lumilab.errors import DamageError

FILE_NAME = "model.safetensors"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str] | None = None) -> None:
    """Writes tensors by name; equal tensors give equal bytes.

    Args:
        header: one word and its text for the file's header; by default what other readers look for there. (Of several
            words the library writes the order by chance.)
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.touch()
    mode = path.stat().st_mode  # safetensors makes files that only their owner may read
    safetensors.torch.save_file(whole, path, metadata=dict(header or {"format": "pt"}))
    path.chmod(mode)


def load_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Reads all tensors of a file.

    Raises:
        DamageError: it is not a whole safetensors file.
    """
    try:
        return safetensors.torch.load_file(path, device=device)
    except SafetensorError as error:
        raise DamageError(f"The weights cannot be read: {error}", where=str(path), mend="restore the file.") from error


def check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: Path) -> None:
    """Refuses tensors whose names or shapes are not the expected ones.

    Raises:
        DamageError: naming the first that differs.
    """
    for name in sorted({*tensors, *expected}):
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != expected.get(name):
            raise DamageError(
                f"The weights do not fit their configuration: {name} should be {expected.get(name, 'absent')} "
                f"but is {found or 'absent'}",
                where=str(where),
                mend="restore the folder from a copy, or train again.",
            )
