"""YAML to values, with the line each value came from.

The types are those of YAML 1.2's core schema (section 10.3.2), not 1.1's, in which `no` is false, `1e-3` is a word,
`12:30` is 750 and `2026-11-21` is a date. Only plain data is read: mappings, lists, text, numbers, true, false, null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from lumilab.errors import ConfigError

KeyPath = tuple[str | int, ...]

CORE = "tag:yaml.org,2002:"

# Which unquoted words are not text: type, spelling, and the characters such a word can begin with.
SPELLINGS = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ("~", "n", "N", "")),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), tuple("tTfF")),
    ("int", re.compile(r"^(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$"), tuple("-+0123456789")),
    (
        "float",
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.inf$|^\.nan$"),
        tuple("-+.0123456789"),
    ),
    ("merge", re.compile(r"^<<$"), ("<",)),
)


@dataclass(frozen=True)
class Layer:
    """Values of one recipe text, and where each was set: single values and lists, not the mappings around them."""

    values: dict[str | int, Any]
    origins: dict[KeyPath, str]


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return _whole_number(node.value)


def _whole_number(word: str) -> int:
    digits = word.replace("_", "")
    return int(digits, 0) if digits[:2] in ("0o", "0x") else int(digits)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(node.value.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))


class _CoreLoader(yaml.SafeLoader):
    """Reads the core schema's types and nothing else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (the base class declares it so)
        first: [(CORE + kind, spelling) for kind, spelling, firsts in SPELLINGS if first in firsts]
        for first in {first for _, _, firsts in SPELLINGS for first in firsts}
    }
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag in (None, *(CORE + kind for kind in ("map", "seq", "str", "bool", "null")))
    } | {CORE + "int": _integer, CORE + "float": _number}


def read_recipe_text(text: str, label: str) -> Layer:
    """The layer of a recipe's text; `label` names it in errors and origins.

    Raises:
        ConfigError: it is not YAML, not a mapping, or has a key twice; with the line.
    """
    node, values = _read(text, label)
    if values is None:
        return Layer({}, {})
    if not isinstance(values, dict):
        raise ConfigError(
            "A recipe must be a mapping of keys to values",
            where=label,
            mend="write one `key: value` on each line; `lumi config show tiny` prints an example.",
        )
    return Layer(values, {path: f"{label}:{line}" for path, line in _lines(node, values, ())})


def read_word(path: KeyPath, text: str, label: str) -> Layer:
    """The layer of one `key=value` word: `text`, read as YAML, at `path`; text that is not YAML is itself."""
    try:
        node, values = _read(text, label)
    except ConfigError:
        node, values = None, text
    origins = {path + inner: label for inner, _ in _lines(node, values, ())}
    if not isinstance(values, dict):
        origins[path] = label
    for part in reversed(path):
        values = {part: values}
    return Layer(values, origins)


def _read(text: str, label: str) -> tuple[yaml.Node | None, Any]:
    try:
        loader = _CoreLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check_keys(node, label)
        return node, loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise ConfigError(
            f"This is not valid YAML: {reason}",
            where=f"{label}:{mark.line + 1}" if mark else label,
            mend="check the indentation, the colons and the quotes on that line.",
        ) from None
    except (RecursionError, ValueError):
        raise ConfigError(
            "This YAML cannot be used: it is nested too deeply, contains itself, or holds a number too long to read",
            where=label,
        ) from None


def _check_keys(node: yaml.Node, label: str) -> None:
    """Refuses keys that are not words (or list positions), and keys that stand twice in one mapping."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, label)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in (CORE + "str", CORE + "int", CORE + "merge"):
                raise ConfigError(
                    "A key must be a word",
                    where=f"{label}:{line}",
                    mend="put it in quotes if it is meant to be one.",
                )
            if key.value in seen:
                raise ConfigError(
                    f"The key {key.value} stands twice in one place",
                    where=f"{label}:{line}",
                    mend=f"remove it here or on line {seen[key.value]}.",
                )
            seen[key.value] = line
            _check_keys(value, label)


def _lines(node: yaml.Node | None, values: Any, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """(path, line) of every single value and list below a node; `values` is what the node was read as."""
    if isinstance(node, yaml.MappingNode):
        # The last of equal keys counts: what a `<<` brought in stands before the mapping's own.
        for name, (key, value) in {_name(key): (key, value) for key, value in node.value}.items():
            here = (*path, name)
            if not isinstance(value, yaml.MappingNode):
                yield here, key.start_mark.line + 1
            yield from _lines(value, values[name], here)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            if isinstance(item, yaml.MappingNode):
                yield from _lines(item, values[index], (*path, index))


def _name(key: yaml.ScalarNode) -> str | int:
    return _whole_number(key.value) if key.tag == CORE + "int" else str(key.value)
