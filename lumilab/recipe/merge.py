"""One layer of a recipe over another: mappings merge key by key, lists and single values replace.

A mapping whose keys are numbers, over a list, changes the items at these positions and keeps the others.
"""

from __future__ import annotations

from typing import Any

from lumilab.errors import ConfigError
from lumilab.recipe.text import KeyPath, Layer


def merge(below: Layer, above: Layer) -> Layer:
    """Both layers as one; where they disagree, `above` counts, for the values and for where they are from.

    Raises:
        ConfigError: `above` changes an item of a list that is not there.
    """
    values = _merged(below.values, above.values, (), above.origins)
    passed_through = {path[:end] for path in above.origins for end in range(1, len(path))}
    kept = {
        path: origin
        for path, origin in below.origins.items()
        if not any(path[:end] in above.origins for end in range(1, len(path) + 1))
        # A value that is now a mapping is no longer set where the value was.
        and not (path in passed_through and not isinstance(_at(below.values, path), list))
    }
    return Layer(values, kept | above.origins)


def origin_of(origins: dict[KeyPath, str], path: KeyPath) -> str | None:
    """Where the value at `path` was set; None when it is a default.

    An item of a plain list comes from where the list does. A field of a mapping within a list does not: it may be a
    default in a mapping that was written.
    """
    for end in range(len(path), 0, -1):
        if path[:end] in origins and all(isinstance(part, int) for part in path[end:]):
            return origins[path[:end]]
    return None


def dotted(path: KeyPath) -> str:
    """A key path as it is written on the command line."""
    return ".".join(str(part) for part in path)


def _merged(below: Any, above: Any, path: KeyPath, origins: dict[KeyPath, str]) -> Any:
    if not isinstance(above, dict):
        return above
    if isinstance(below, list):
        return _with_items(below, above, path, origins)
    for key in above:
        if isinstance(key, int):
            raise ConfigError(
                f"{dotted(path) or 'The recipe'} is not a list that the recipe sets, so it has no item {key} to change",
                where=_where(path, origins),
                mend=f"give the whole list: {dotted(path)}=[...]." if path else None,
            )
    start = below if isinstance(below, dict) else {}
    return start | {key: _merged(start.get(key), value, (*path, key), origins) for key, value in above.items()}


def _with_items(below: list[Any], above: dict[Any, Any], path: KeyPath, origins: dict[KeyPath, str]) -> list[Any]:
    for key in above:
        if not isinstance(key, int) or not 0 <= key < len(below):
            last = len(below) - 1
            raise ConfigError(
                f"{dotted(path)} is a list without an item {key!r}",
                where=_where(path, origins),
                mend=f"name an item by its position, 0 to {last}, or give the whole list."
                if below
                else "the list is empty: give the whole list.",
            )
    return [
        _merged(item, above[index], (*path, index), origins) if index in above else item
        for index, item in enumerate(below)
    ]


def _where(path: KeyPath, origins: dict[KeyPath, str]) -> str | None:
    """Where the first setting at or below `path` is."""
    return next((origin for place, origin in origins.items() if place[: len(path)] == path), None)


def _at(values: Any, path: KeyPath) -> Any:
    for part in path:
        values = values[part]
    return values
