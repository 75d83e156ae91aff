"""Every value of a recipe with its origin and its meaning, as rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from lumilab.recipe.load import LoadedRecipe
from lumilab.recipe.text import KeyPath


@dataclass(frozen=True)
class Row:
    """One setting: dotted key, value as JSON, where it was set, and its one-line help."""

    key: str
    value: str
    origin: str
    help: str


def explain(loaded: LoadedRecipe) -> Iterator[Row]:
    """The rows of a whole recipe, in the schema's order."""
    return _rows(loaded, loaded.recipe, ())


def _rows(loaded: LoadedRecipe, section: BaseModel, path: KeyPath) -> Iterator[Row]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            yield from _rows(loaded, value, here)
        elif isinstance(value, list) and value and all(isinstance(item, BaseModel) for item in value):
            for index, item in enumerate(value):
                yield from _rows(loaded, item, (*here, index))
        else:
            yield Row(
                key=".".join(str(part) for part in here),
                value=json.dumps(value, ensure_ascii=False),
                origin=loaded.origin(here),
                help=field.description or "",
            )
