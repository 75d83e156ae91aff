"""From a recipe file, a preset's name and `key=value` words to one checked Recipe that knows where each value is from.

A recipe may extend others: `extends: tiny`, or a list, each a preset's name or a path relative to the file. Later
ones win, the file itself wins over what it extends, and words on the command line win over all. Mappings merge key by
key; lists and single values replace.
"""

from __future__ import annotations

import difflib
import types
import typing
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lumilab.errors import ConfigError
from lumilab.recipe.schema import Recipe

KeyPath = tuple[str | int, ...]
SectionType = TypeVar("SectionType", bound=BaseModel)


@dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe, and for every value that was set somewhere, where."""

    recipe: Recipe
    origins: dict[KeyPath, str]
    folder: Path

    def origin(self, path: KeyPath) -> str:
        """Where the value at `path` was set: the nearest enclosing setting, or "default"."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return "default"


@dataclass(frozen=True)
class _Layer:
    values: dict[str, Any]
    origins: dict[KeyPath, str]


def load_recipe(reference: str, overrides: list[str] | None = None) -> LoadedRecipe:
    """Loads a recipe by preset name or file path and applies `key=value` overrides.

    Raises:
        ConfigError: anything that is wrong with it: what, which file and line, and the nearest right key.
    """
    layer = _load_layers(reference, base=Path.cwd(), chain=())
    for word in overrides or []:
        layer = _merge(layer, _override(word))
    try:
        recipe = Recipe.model_validate(layer.values)
    except ValidationError as error:
        raise _explain(error, layer, reference) from None
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
        raise ConfigError(f"{option}: {first['msg']}, but got {first['input']!r}", where="command line") from None


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


def _load_layers(reference: str, base: Path, chain: tuple[str, ...]) -> _Layer:
    """The recipe and all it extends, merged."""
    if is_path(reference):
        path = (base / reference).resolve()
        label, identity, next_base = reference, str(path), path.parent
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
            raise ConfigError(
                f"The recipe file {reason}",
                where=str(path) + _from(chain),
                mend=f"check the path, or use a preset: {', '.join(preset_names())}.",
            ) from None
    elif reference in preset_names():
        label, identity, next_base = f"preset {reference}", f"preset {reference}", base
        text = preset_text(reference)
    else:
        near = difflib.get_close_matches(reference, preset_names(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"There is no preset called {reference}",
            where=_from(chain).strip() or None,
            mend=f"{hint}The presets are {', '.join(preset_names())}; a file's name ends in .yaml.",
        )
    if identity in chain:
        raise ConfigError(
            "Recipes extend each other in a circle",
            where=" -> ".join([*chain, identity]),
            mend="remove one of these `extends` lines.",
        )
    own = _read_yaml(text, label)
    extends = own.values.pop("extends", [])
    own.origins.pop(("extends",), None)
    if isinstance(extends, str):
        extends = [extends]
    if not isinstance(extends, list) or not all(isinstance(item, str) for item in extends):
        raise ConfigError("`extends` must be a name, a path or a list of them", where=label)
    merged = _Layer({}, {})
    for item in extends:
        merged = _merge(merged, _load_layers(item, next_base, (*chain, identity)))
    if is_path(reference):
        _anchor_paths(own.values, next_base)
    return _merge(merged, own)


def _from(chain: tuple[str, ...]) -> str:
    return f" (extended from {chain[-1]})" if chain else ""


def _anchor_paths(values: dict[str, Any], folder: Path) -> None:
    """Makes the relative `paths` of sources start at the folder of the recipe that names them."""
    for section in ("corpus", "conversations"):
        part = values.get(section)
        sources = part.get("sources") if isinstance(part, dict) else None
        for source in sources if isinstance(sources, list) else []:
            if isinstance(source, dict) and isinstance(source.get("paths"), list):
                source["paths"] = [str(folder / item) if isinstance(item, str) else item for item in source["paths"]]


def _read_yaml(text: str, label: str) -> _Layer:
    """Values of a YAML document, and the line each came from."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"The recipe is not valid YAML: {getattr(error, 'problem', None) or error}", where=f"{label}{line}"
        ) from None
    if values is None:
        return _Layer({}, {})
    if not isinstance(values, dict):
        raise ConfigError("A recipe must be a mapping of keys to values", where=label)
    origins: dict[KeyPath, str] = {}
    _collect_origins(node, (), label, origins)
    return _Layer(values, origins)


def _collect_origins(node: yaml.Node | None, path: KeyPath, label: str, origins: dict[KeyPath, str]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if not isinstance(value, yaml.MappingNode):
                origins[here] = f"{label}:{key.start_mark.line + 1}"
            _collect_origins(value, here, label, origins)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            if isinstance(item, yaml.MappingNode):
                _collect_origins(item, (*path, index), label, origins)


def _override(word: str) -> _Layer:
    key, separator, text = word.partition("=")
    if not separator or not key:
        raise ConfigError(
            f"{word!r} is not of the form key=value", where="command line", mend="write for example pretrain.steps=200."
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    path = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    nested: Any = value
    for part in reversed(path):
        nested = {part: nested}
    return _Layer(nested, {path: "command line"})


def _merge(below: _Layer, above: _Layer) -> _Layer:
    replaced = tuple(path for path in above.origins if not isinstance(_at(above.values, path), dict))
    origins = {
        path: origin
        for path, origin in below.origins.items()
        if not any(path[: len(prefix)] == prefix for prefix in replaced)
    }
    return _Layer(_merged(below.values, above.values), origins | above.origins)


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    if isinstance(below, list) and isinstance(above, dict) and above and all(isinstance(key, int) for key in above):
        return [_merged(item, above[index]) if index in above else item for index, item in enumerate(below)]
    return above


def _at(values: Any, path: KeyPath) -> Any:
    for part in path:
        values = values[part]
    return values


# --- errors ------------------------------------------------------------------------------------------------------


def _explain(error: ValidationError, layer: _Layer, reference: str) -> ConfigError:
    """The first problem in words; the others are counted, so that the paragraph stays one."""
    problems = error.errors()
    first = problems[0]
    path = tuple(part for part in first["loc"] if part not in ("python", "files", "docstrings", "messages"))
    dotted = ".".join(str(part) for part in path)
    origin = LoadedRecipe.origin(LoadedRecipe(None, layer.origins, Path()), path)  # type: ignore[arg-type]
    where = f"{dotted or reference}" + (f" ({origin})" if origin != "default" else f" ({reference})" if dotted else "")
    more = f" ({len(problems) - 1} more such problems follow.)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = sorted(_keys_at(path[:-1]))
        near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join(str(part) for part in (*path[:-1], near[0]))}?" if near else ""
        listing = f"The keys here are: {', '.join(known)}." if known else ""
        return ConfigError(f"Unknown key {dotted}", where=where, mend=f"{hint} {listing}{more}".strip())
    if first["type"] == "missing":
        return ConfigError(f"The key {dotted} is missing", where=where, mend=f"add it to the recipe.{more}")
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | BaseModel) else f", but got {first['input']!r}"
    described = "" if not dotted else f"{dotted}: "
    return ConfigError(
        f"{described}{message}{given}", where=where, mend=f"`lumi config explain` tells what each key takes.{more}"
    )


def _keys_at(path: KeyPath) -> set[str]:
    """The keys the schema knows at a place in the recipe."""
    found: list[type[BaseModel]] = [Recipe]
    for part in path:
        inner: list[type[BaseModel]] = []
        for model in found:
            if isinstance(part, int):
                inner.append(model)
            elif part in model.model_fields:
                inner += _models_in(model.model_fields[part].annotation)
        found = inner
    return {name for model in found for name in model.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, typing.Annotated):
        return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
    return []
