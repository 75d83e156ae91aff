"""From a recipe file, a preset's name and `key=value` words to one checked Recipe that knows where each value is from.

A recipe may extend others: `extends: tiny`, or a list, each a preset's name or a path relative to the file. Later
ones win, the file itself wins over what it extends, and words on the command line win over all. Mappings merge key by
key; lists and single values replace. One item of a list is changed by its position: `corpus.sources.0.kind=python`.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lumilab.errors import ConfigError
from lumilab.recipe.merge import merge, origin_of
from lumilab.recipe.mistakes import explain_mistake
from lumilab.recipe.schema import Recipe
from lumilab.recipe.section import optional_sections, section_defaults
from lumilab.recipe.text import KeyPath, Layer, read_recipe_text, read_word

COMMAND_LINE = "command line"
PATH_KEYS = ("paths", "folder", "model_file")  # what is called so in a recipe is a path
SectionType = TypeVar("SectionType", bound=BaseModel)


@dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe, and for every value that was set somewhere, where."""

    recipe: Recipe
    origins: dict[KeyPath, str]
    folder: Path

    def origin(self, path: KeyPath) -> str:
        """Where the value at `path` was set: a file and line, "command line", or "default"."""
        return origin_of(self.origins, path) or "default"


def load_recipe(reference: str, overrides: list[str] | None = None) -> LoadedRecipe:
    """Loads a recipe by preset name or file path and applies `key=value` overrides.

    Raises:
        ConfigError: anything that is wrong with it: what, which file and line, and the nearest right key.
    """
    layer = merge(Layer(section_defaults(Recipe), {}), _load_layers(reference, base=Path.cwd(), chain=()))
    for word in overrides or []:
        layer = merge(layer, _override(word))
    given = {name: kind for name, kind in optional_sections(Recipe).items() if isinstance(layer.values.get(name), dict)}
    layer = merge(Layer({name: section_defaults(kind) for name, kind in given.items()}, {}), layer)
    try:
        # Checked as JSON because its types are a recipe's types: a list may stand for a pair, but true is not 1.
        recipe = Recipe.model_validate_json(json.dumps(layer.values), strict=True)
    except ValidationError as error:
        raise explain_mistake(error, layer, reference) from None
    path = Path(reference)
    folder = path.parent if is_path(reference) else Path.cwd()
    return LoadedRecipe(recipe, layer.origins, folder.absolute())


def checked_section(section: type[SectionType], **values: Any) -> SectionType:
    """Builds one section from command-line options, with the same errors a recipe gives."""
    try:
        return section(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise ConfigError(f"{option}: {first['msg']}, but got {first['input']!r}", where=COMMAND_LINE) from None


def preset_names() -> list[str]:
    """The names of the recipes that come with lumilab."""
    return sorted(entry.name[:-5] for entry in _presets().iterdir() if entry.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The YAML text of a shipped recipe."""
    return (_presets() / f"{name}.yaml").read_text(encoding="utf-8")


def is_path(reference: str) -> bool:
    """Whether a reference is a file path rather than a preset's name."""
    return reference.endswith((".yaml", ".yml")) or "/" in reference or "\\" in reference


def _presets() -> Traversable:
    return resources.files("lumilab.recipe") / "presets"


def _load_layers(reference: str, base: Path, chain: tuple[str, ...]) -> Layer:
    """The recipe and all it extends, merged. `chain` holds the recipes that led here."""
    if is_path(reference):
        path = _file_path(reference, base, chain)
        name, label, folder = str(path), _shown(path), path.parent
        text = _file_text(path, chain)
    elif reference in preset_names():
        name = label = f"preset {reference}"
        folder, text = base, preset_text(reference)
    else:
        near = difflib.get_close_matches(reference, preset_names(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"There is no preset called {reference}",
            where=_from(chain),
            mend=f"{hint}The presets are {', '.join(preset_names())}; a recipe file's name ends in .yaml.",
        )
    if name in chain:
        raise ConfigError(
            "Recipes extend each other in a circle",
            where=" -> ".join([*chain[chain.index(name) :], name]),
            mend="remove one of these `extends` lines.",
        )
    own = read_recipe_text(text, label)
    below = Layer({}, {})
    for item in _take_extends(own, label):
        below = merge(below, _load_layers(item, folder, (*chain, name)))
    if is_path(reference):
        _anchor_paths(own.values, folder)
    return merge(below, own)


def _file_path(reference: str, base: Path, chain: tuple[str, ...]) -> Path:
    """The file's one real path, by which circles are noticed."""
    try:
        return Path(os.path.realpath(base / os.path.expanduser(reference)))  # noqa: PTH111 (unknown users' `~` stays)
    except ValueError:  # a null character
        raise _unusable("has a name that no file can have", reference, chain) from None


def _file_text(path: Path, chain: tuple[str, ...]) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        reason = "does not exist"
    except UnicodeDecodeError:
        reason = "is not UTF-8 text"
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
    raise _unusable(reason, str(path), chain)


def _unusable(reason: str, path: str, chain: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        f"The recipe file {reason}",
        where=", ".join(filter(None, [path, _from(chain)])),
        mend=f"check the path, or use a preset: {', '.join(preset_names())}.",
    )


def _from(chain: tuple[str, ...]) -> str | None:
    return f"extended from {chain[-1]}" if chain else None


def _shown(path: Path) -> str:
    """A path as a person at the command line would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _take_extends(own: Layer, label: str) -> list[str]:
    """Removes `extends` from a recipe's own values and returns it as a list."""
    extends = own.values.pop("extends", [])
    where = [own.origins.pop(path) for path in list(own.origins) if path[0] == "extends"]
    items = [extends] if isinstance(extends, str) else extends
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        raise ConfigError(
            "`extends` must be a preset's name, a path or a list of them",
            where=where[0] if where else label,
            mend=f"write for example `extends: {preset_names()[0]}`.",
        )
    return items


def _anchor_paths(values: dict[str | int, Any], folder: Path) -> None:
    """Makes relative paths start at `folder`: wherever in a recipe a key of PATH_KEYS stands."""
    for key, value in values.items():
        if key in PATH_KEYS and isinstance(value, str):
            values[key] = _anchored(value, folder)
        elif key in PATH_KEYS and isinstance(value, list):
            values[key] = [_anchored(item, folder) for item in value]
        elif key in PATH_KEYS and isinstance(value, dict):
            values[key] = {index: _anchored(item, folder) for index, item in value.items()}
        else:
            for item in [value, *_items(value)]:
                if isinstance(item, dict):
                    _anchor_paths(item, folder)


def _items(container: Any) -> list[Any]:
    """The items of a list, or of a mapping that changes some items of a list."""
    if isinstance(container, dict):
        return list(container.values())
    return container if isinstance(container, list) else []


def _anchored(item: Any, folder: Path) -> Any:
    return str(folder / os.path.expanduser(item)) if isinstance(item, str) and item else item  # noqa: PTH111


def _override(word: str) -> Layer:
    key, separator, text = word.partition("=")
    key = key.strip()
    if not separator or not key:
        raise ConfigError(
            f"{word!r} is not of the form key=value", where=COMMAND_LINE, mend="write for example pretrain.steps=200."
        )
    path = tuple(int(part) if part.isascii() and part.isdecimal() else part for part in key.split("."))
    layer = read_word(path, text, COMMAND_LINE)
    _anchor_paths(layer.values, Path.cwd())
    return layer
