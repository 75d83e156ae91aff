"""What identifies a phase's results: a digest of everything that decides them.

Results of another plan must never be taken for those of this one. A plan is the function, the orders in their
sequence, and the plans of the phases before it, because an order may name the folders that those left. Orders are
described value by value rather than pickled: the bytes of a pickle change with versions and with shared references.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import FunctionType
from typing import Any

from lumilab.work.phases import Phase


class Plans:
    """The plans of one piece of work, phase after phase.

    Args:
        basis: what decides the results besides the orders, in values that `describe` knows: the digests of the raw
            files, the version of the stage.
    """

    def __init__(self, basis: Any = None) -> None:
        self._basis = describe(basis)
        self._digests: dict[str, str] = {}

    def digest(self, phase: Phase) -> str:
        """SHA-256 (hex) of the phase's plan. Phases are asked for in the order in which they are done.

        Raises:
            TypeError: an order holds something whose identity is unknown.
        """
        names = list(self._digests)
        earlier = names[: names.index(phase.name)] if phase.name in self._digests else names
        plan = {
            "basis": self._basis,
            "earlier": [self._digests[name] for name in earlier],
            "phase": phase.name,
            "function": describe(phase.function),
            "orders": [describe(order) for order in phase.orders],
        }
        digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
        if self._digests.get(phase.name) != digest:
            # What came after a phase that has changed does not follow from it any more.
            self._digests = {name: self._digests[name] for name in earlier} | {phase.name: digest}
        return digest


def describe(value: Any) -> Any:
    """The value as JSON values whose texts are equal if, and only if, the values mean the same.

    Dataclasses and pydantic models are described by class and fields, without the fields that a recipe marks
    `runtime`, which change no result; paths as they are written; functions and classes by their names.

    Raises:
        TypeError: for any other kind of object.
    """
    if isinstance(value, str | int | None) and not isinstance(value, Enum):
        return value
    return [_name(type(value)), _describe_parts(value)]


def _describe_parts(value: Any) -> Any:
    match value:
        case Enum():
            parts: Any = value.name
        case float() | bytes():
            parts = value.hex()
        case PurePath():
            parts = str(value)
        case list() | tuple():
            parts = [describe(item) for item in value]
        case dict():
            parts = _sorted([[describe(key), describe(item)] for key, item in value.items()])
        case set() | frozenset():
            parts = _sorted([describe(item) for item in value])
        case FunctionType() | type():
            parts = _name(value)
        case partial():
            parts = [describe(part) for part in (value.func, value.args, value.keywords)]
        case _:
            parts = {name: describe(getattr(value, name)) for name in _field_names(value)}
    return parts


def _field_names(value: Any) -> list[str]:
    """The fields that make up a dataclass or a pydantic model."""
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    declared = getattr(type(value), "model_fields", None)
    if not isinstance(declared, dict):
        kind = _name(type(value))
        raise TypeError(f"an order holds a {kind}, whose identity is unknown: orders are dataclasses of plain values")
    return [name for name, field in declared.items() if not _is_runtime(field)]


def _is_runtime(field: Any) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("runtime"))


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _sorted(descriptions: list[Any]) -> list[Any]:
    return sorted(descriptions, key=json.dumps)
