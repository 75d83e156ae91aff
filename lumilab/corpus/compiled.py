"""How this room's compiled functions (numba) are made: kept on disk where there is a place, compiled anew where not.

numba refuses to compile at all when it finds no folder it may write its cache to, as in a read-only container.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """A function compiled at its first call for the types of its arguments; runs without the interpreter's lock."""
    try:
        return njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to cache in
        return njit(nogil=True)(function)  # type: ignore[no-any-return]
