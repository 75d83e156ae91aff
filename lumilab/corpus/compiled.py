"""How this room's compiled functions (numba) are made, and where what was compiled is kept for the next process.

numba looks only at a function's own file to see whether its compiled form is still right. Here functions call others
in neighbouring files, which are compiled into them, so the cache's folder is named by the digest of all sources in the
function's folder. Where no folder can be written, as in a read-only container, functions are compiled at each start.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """A function compiled at its first call for the types of its arguments; runs without the interpreter's lock."""
    folder = _cache_folder(Path(function.__code__.co_filename).parent)
    if folder is None:
        return cast(Function, numba.njit(nogil=True)(function))
    config: Any = numba.config  # its settings are made at import, which type checkers do not see
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    finally:
        config.CACHE_DIR = before


@lru_cache
def _cache_folder(sources: Path) -> Path | None:
    """Where compiled functions of a folder's sources are kept: beside them, or with the user's cached files."""
    digest = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"compiled-{digest.hexdigest()[:16]}"
    personal = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (sources / "__pycache__" / name, personal / "lumilab" / name):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None
