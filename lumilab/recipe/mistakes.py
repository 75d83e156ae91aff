"""What is wrong with a recipe, in words: the key, the file and line, and the nearest thing that is right.

The schema's validator (pydantic) finds the mistakes; this module turns the first into one paragraph.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from lumilab.errors import ConfigError
from lumilab.recipe.merge import dotted, origin_of
from lumilab.recipe.schema import Recipe
from lumilab.recipe.text import KeyPath, Layer

LONGEST_VALUE = 80  # characters of a wrong value that are shown
EXPECTED = {
    "model_type": "this is a section with keys of its own",
    "model_attributes_type": "this is a section with keys of its own",
    "dict_type": "this is a section with keys of its own",
    "list_type": "this must be a list",
    "tuple_type": "this must be a list",
    "string_type": "this must be text (put it in quotes if it looks like something else)",
    "int_type": "this must be a whole number",
    "float_type": "this must be a number",
    "bool_type": "this must be true or false",
    "string_pattern_mismatch": "this does not have the right form",
}


def explain_mistake(error: ValidationError, layer: Layer, reference: str) -> ConfigError:
    """The first mistake in words; the others are counted, so that the paragraph stays one."""
    mistakes = error.errors()
    first = mistakes[0]
    path = _without_tags(first["loc"], layer.values)
    others = {_without_tags(mistake["loc"], layer.values) for mistake in mistakes} - {path}
    more = f" ({len(others)} more such problems follow.)" if others else ""
    key = dotted(path)
    where = f"{key} ({_nearest_origin(layer, path) or reference})" if key else reference
    if first["type"] == "extra_forbidden":
        return ConfigError(f"Unknown key {key}", where=where, mend=_known_keys(path, layer.values) + more)
    if first["type"] == "missing":
        return ConfigError(f"The key {key} is missing", where=where, mend=f"add it to the recipe.{more}")
    if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
        kinds = ", ".join(model.model_fields["kind"].default for model in _models_at(path, None))
        given = first["ctx"].get("tag")
        what = f"There is no kind {given!r} for {key}" if given else f"The key {key}.kind is missing"
        return ConfigError(what, where=where, mend=f"the kinds are: {kinds}.{more}")
    start = f"{key}: " if key else ""
    if first["type"] == "value_error":  # our own words, which say what to change
        return ConfigError(f"{start}{first['msg'].removeprefix('Value error, ')}{more}", where=where)
    kind = first["type"]
    if kind == "string_type" and not _fits_form(str(first["input"]), path, layer.values):
        kind = "string_pattern_mismatch"
    return ConfigError(
        f"{start}{EXPECTED.get(kind, first['msg'])}, but got {_shortened(first['input'])}",
        where=where,
        mend=f"{_help(path, layer.values)}.{more}",
    )


def _without_tags(location: tuple[int | str, ...], values: Any) -> KeyPath:
    """The key path of a validator's location, which also names the kind of each item it went through, and behind a
    value that may be of several types the type it was held against."""
    path: list[str | int] = []
    after_item = False
    for part in location:
        if path and not isinstance(values, dict | list):
            break  # a single value has no parts
        if after_item and isinstance(values, dict) and part == values.get("kind"):
            after_item = False
            continue
        path.append(part)
        values = _child(values, part)
        after_item = isinstance(part, int)
    return tuple(path)


def _child(values: Any, part: str | int) -> Any:
    if isinstance(values, dict):
        return values.get(part)
    return values[part] if isinstance(values, list) and isinstance(part, int) and part < len(values) else None


def _nearest_origin(layer: Layer, path: KeyPath) -> str | None:
    """Where a value was set; for a section, where the last of its values was; else where what holds it was."""
    found = origin_of(layer.origins, path)
    below = [origin for place, origin in layer.origins.items() if place[: len(path)] == path]
    around = [origin_of(layer.origins, path[:end]) for end in range(len(path) - 1, 0, -1)]
    return next(filter(None, [found, *below[-1:], *around]), None)


def _shortened(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


# --- unknown keys ------------------------------------------------------------------------------------------------


def _known_keys(path: KeyPath, values: Any) -> str:
    """What to write instead of an unknown key, and what may stand in its place."""
    section, key = path[:-1], str(path[-1])
    here = sorted({name for model in _models_at(section, values) for name in model.model_fields})
    suggestions = _suggestions(section, key, here)
    hint = f"did you mean {' or '.join(suggestions)}? " if suggestions else ""
    return f"{hint}The keys here are: {', '.join(here)}." if here else hint.strip()


def _suggestions(section: KeyPath, key: str, here: list[str]) -> list[str]:
    """The nearest right keys: a slip of the pen first, then the same word in another section."""
    if near := difflib.get_close_matches(key, here, n=1, cutoff=0.75):
        return [dotted((*section, near[0]))]
    everywhere = list(_leaves(Recipe, ()))
    same_word = [path for path in everywhere if path[-1] == key]
    below = [path for path in same_word if path[: len(section)] == section]
    if below or same_word:
        return [dotted(path) for path in (below or same_word)[:3]]
    if near := difflib.get_close_matches(key, here, n=1, cutoff=0.5):
        return [dotted((*section, near[0]))]
    return []


def _leaves(model: type[BaseModel], path: KeyPath) -> Iterator[KeyPath]:
    """The paths of all settings of a section and of the sections in it."""
    for name, field in model.model_fields.items():
        inner = _models_in(field.annotation)
        if len(inner) == 1:
            yield from _leaves(inner[0], (*path, name))
        else:
            yield (*path, name)


def _models_at(path: KeyPath, values: Any) -> list[type[BaseModel]]:
    """The sections that the schema knows at a place; an item's own `kind` chooses among several."""
    found: list[type[BaseModel]] = [Recipe]
    for part in path:
        values = _child(values, part)
        if isinstance(part, int):
            kind = values.get("kind") if isinstance(values, dict) else None
            found = [model for model in found if kind is None or model.model_fields["kind"].default == kind]
        else:
            fields = [model.model_fields[part] for model in found if part in model.model_fields]
            found = [inner for field in fields for inner in _models_in(field.annotation)]
    return found


def _help(path: KeyPath, values: Any) -> str:
    """The schema's line about a key."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    for model in _models_at(path[:-1], values) if path else []:
        if path[-1] in model.model_fields:
            return f"{dotted(path)} is: {model.model_fields[str(path[-1])].description}"
    return "`lumi config explain` tells what each key takes"


def _fits_form(text: str, path: KeyPath, values: Any) -> bool:
    """Whether a text has the form that its key asks for, if it asks for one: 30 in quotes is no time."""
    fields = (model.model_fields.get(str(path[-1])) for model in _models_at(path[:-1], values))
    patterns = [getattr(rule, "pattern", None) for field in fields if field is not None for rule in field.metadata]
    return all(re.search(pattern, text) for pattern in patterns if pattern)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, typing.Annotated):
        return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
    return []
