"""Under which names the library's definitions are known: `json.dumps`, `os.path.join`, `collections.deque`, `len`.

A definition often lies elsewhere than where people use it: in a private module, in a compiled one, behind a star
import, as a method of a hidden instance (`random.choice`). Here the public names of every public module are followed
to the definition, without importing anything, and each definition is given the best of its names: the one with the
fewest dots, then the one in the module that defines it, then its own. Other names it has in that same module are kept
as aliases (`bisect.bisect` for `bisect.bisect_right`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace

from lumilab.corpus.sources.python_syntax import Alias, Definition, Dotted, Imported, Instance, Module, Target

# Public in name, but known by another: os.path, os, xml.parsers.expat and re.
_IMPLEMENTATIONS = re.compile(r"posix|posixpath|nt|ntpath|nturl2path|genericpath|pyexpat|sre_\w+")
# Modules that fill themselves at run time with the methods of an object of theirs.
_INTERFACE_OBJECTS = {"multiprocessing": ("context", "_default_context")}
# Tables, games, developers' tools, and modules that do something when imported.
_UNDOCUMENTED = re.compile(r"antigravity|this|idlelib|turtledemo|lib2to3|pydoc_data|encodings\.\w+")


@dataclass(frozen=True, slots=True)
class CompiledModule:
    """A module without source: its docstring, and its names with their definitions and origins."""

    doc: str | None
    names: Mapping[str, tuple[Definition, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """A definition, where it was found, and an origin that is the same under all its names."""

    definition: Definition
    module: str
    origin: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented name. `kind` is module, class, function or attribute; `module` is where it belongs."""

    name: str
    kind: str
    signature: str | None
    doc: str
    module: str


@dataclass(frozen=True, slots=True)
class _Name:
    """A public name of a definition, and the module that offers it."""

    full: str
    module: str
    found: Found

    @property
    def last(self) -> str:
        return self.full.rpartition(".")[2]

    def rank(self) -> tuple[int, bool, bool, str]:
        """Smaller is better; the last part only makes the choice definite."""
        borrowed, renamed = self.found.module != self.module, not self.found.origin.endswith(f":{self.last}")
        return self.full.count("."), borrowed, renamed, self.full


class Library:
    """All modules, found by name; `parse(name)` gives a module with source, or None."""

    def __init__(
        self, sources: list[str], parse: Callable[[str], Module | None], compiled: Mapping[str, CompiledModule]
    ) -> None:
        self._names = set(sources) | set(compiled)
        self._parse = parse
        self._parsed: dict[str, Module | None] = {}
        self._compiled = compiled
        self._exported: dict[str, set[str]] = {}

    def public_modules(self) -> list[str]:
        """The names of the modules a user may import, sorted."""
        return sorted(name for name in self._names if _is_public(name))

    def entries(self) -> list[Entry]:
        """Every documented public name once, sorted."""
        modules = {name: name for name in self.public_modules() if not _IMPLEMENTATIONS.fullmatch(name)}
        modules |= {alias: target for name in modules for alias, target in self._module_aliases(name)}
        names = self._names_by_origin(modules)
        known = {origin for origin, (best, *_) in names.items() if origin.endswith(f":{best.last}")}
        listed = {
            name: Entry(name, "module", None, _well_formed(self._module_doc(target) or ""), name)
            for name, target in modules.items()
        }
        for best, *others in names.values():
            aliases = [name for name in others if name.module == best.module]
            listed |= {entry.name: entry for entry in self._describe(best.full, best.module, best.found, known)}
            listed |= {name.full: replace(listed[best.full], name=name.full) for name in aliases}
        # Some compiled docstrings are the name once more, which says nothing.
        told = (entry for entry in listed.values() if entry.doc and not entry.name.endswith(f".{entry.doc}"))
        return sorted(told, key=lambda entry: entry.name)

    def _names_by_origin(self, modules: Mapping[str, str]) -> dict[str, list[_Name]]:
        """Every public name of the modules (shown name to real one), grouped by what it stands for, best first."""
        names: dict[str, list[_Name]] = {}
        for shown, module in modules.items():
            for name in self.exports(module):
                found = self.find(module, name)
                if isinstance(found, Found):
                    full = name if module == "builtins" else f"{shown}.{name}"
                    names.setdefault(found.origin, []).append(_Name(full, shown, found))
        return {origin: sorted(group, key=_Name.rank) for origin, group in names.items()}

    # --- what a module offers ------------------------------------------------------------------------------------

    def exports(self, name: str) -> list[str]:
        """The public names of a module, sorted: its `__all__` where that can be read, else what it defines."""
        return sorted(export for export in self._exports(name) if not export.startswith("_"))

    def _exports(self, name: str) -> set[str]:
        if name not in self._exported:
            self._exported[name] = set()  # what a module that imports itself in a circle sees
            self._exported[name] = self._read_exports(name)
        return self._exported[name]

    def _read_exports(self, name: str) -> set[str]:
        if name in self._compiled:
            return set(self._compiled[name].names)
        module = self._module(name)
        if module is None:
            return set()
        exports = set(module.declared or ())
        for owner in module.declared_by:
            found = self._find_dotted(name, owner, ())
            exports |= self._exports(found if isinstance(found, str) else ".".join(owner))
        if module.declared is None or module.computed:
            exports |= self._interface(name).keys()
            for bound, target in module.bindings:
                if bound is None:
                    exports |= self._exports(str(target))
                elif _is_own(target, module):
                    exports.add(bound)
        return exports

    def _module_aliases(self, name: str) -> Iterator[tuple[str, str]]:
        """Modules that a module makes importable under a name that no file has (os.path), or in its own place."""
        module = self._module(name)
        for alias, dotted in sorted(module.registered.items()) if module else ():
            found = self._find_dotted(name, dotted, ())
            if isinstance(found, str) and (alias == name or alias not in self._names):
                yield alias, found

    def _module(self, name: str) -> Module | None:
        if name not in self._parsed:
            self._parsed[name] = self._parse(name) if name in self._names and name not in self._compiled else None
        return self._parsed[name]

    def _module_doc(self, name: str) -> str | None:
        if name in self._compiled:
            return self._compiled[name].doc
        module = self._module(name)
        if module is None:
            return None
        taken = (target for bound, target in reversed(module.bindings) if bound == "__doc__")
        docs = (self._module_doc(target.module) for target in taken if isinstance(target, Imported))
        return next((doc for doc in docs if doc), module.doc)

    # --- following names -----------------------------------------------------------------------------------------

    def find(self, module: str, name: str) -> Found | str | None:
        """What a name of a module is: a definition, the name of another module, or nothing that is known."""
        return self._find(module, name, ())

    def _find(self, module: str, name: str, path: tuple[tuple[str, str], ...]) -> Found | str | None:
        if (module, name) in path:
            return None
        path = (*path, (module, name))
        if module in self._compiled:
            item = self._compiled[module].names.get(name)
            return Found(item[0], module, item[1]) if item else None
        parsed = self._module(module)
        if parsed is not None:
            for bound, target in reversed(parsed.bindings):
                found: Found | str | None = None
                if bound == name and not isinstance(target, str):
                    found = self._follow(module, name, target, path)
                elif bound is None and name in self._exports(str(target)):
                    found = self._find(str(target), name, path)
                if found is not None:
                    return found
            if name in parsed.lazy:
                return self._follow(module, name, parsed.lazy[name], path)
        if name in self._interface(module):
            return self._interface(module)[name]
        return f"{module}.{name}" if f"{module}.{name}" in self._names else None

    def _follow(self, module: str, name: str, target: Target, path: tuple[tuple[str, str], ...]) -> Found | str | None:
        match target:
            case Definition():
                return Found(target, module, f"{module}:{name}")
            case Imported(module=source, attribute=None):
                return source if source in self._names else None
            case Imported(module=source, attribute=str(attribute)):
                return self._find(source, attribute, path)
            case Alias(target=dotted):
                return self._find_dotted(module, dotted, path)
        return None

    def _find_dotted(self, module: str, dotted: Dotted, path: tuple[tuple[str, str], ...]) -> Found | str | None:
        """What `a.b.c` means in a module."""
        head, *rest = dotted
        instance = self._instance_of(module, head) if rest and (module, head) not in path else None
        if instance:
            found = self._find_dotted(module, instance, (*path, (module, head)))
        else:
            found = self._find(module, head, path)
        if found is None and "builtins" in self._compiled and not rest:
            found = self._find("builtins", head, path)
        for name in rest:
            if isinstance(found, str):
                found = self._find(found, name, path)
            elif isinstance(found, Found):
                found = self._members(found).get(name)
        return found

    def _instance_of(self, module: str, name: str) -> Dotted | None:
        parsed = self._module(module)
        bindings = reversed(parsed.bindings) if parsed else ()
        target = next((target for bound, target in bindings if bound == name), None)
        return target.of if isinstance(target, Instance) else None

    def _interface(self, module: str) -> dict[str, Found]:
        """The methods that a module offers as its own functions, of an object that it holds."""
        if module not in _INTERFACE_OBJECTS:
            return {}
        *path, name = _INTERFACE_OBJECTS[module]
        holder = ".".join([module, *path])
        instance = self._instance_of(holder, name)
        found = self._find_dotted(holder, instance, ()) if instance else None
        return self._members(found) if isinstance(found, Found) else {}

    # --- describing ----------------------------------------------------------------------------------------------

    def _describe(self, full: str, module: str, found: Found, public: Container[str]) -> Iterator[Entry]:
        definition = found.definition
        doc = definition.doc
        if doc is None and definition.wraps:
            wrapped = self._find_dotted(found.module, definition.wraps, ())
            doc = wrapped.definition.doc if isinstance(wrapped, Found) else None
        yield Entry(full, definition.kind, self._signature(found), _well_formed(doc or ""), module)
        for name, member in self._members(found, public).items():
            if not name.startswith("_"):
                yield from self._describe(f"{full}.{name}", module, member, public)

    def _signature(self, found: Found) -> str | None:
        """The definition's own, or that of the nearest base class that has one."""
        signatures = (owner.definition.signature for owner in self._lineage(found, ()))
        return next((signature for signature in signatures if signature is not None), None)

    def _members(self, found: Found, public: Container[str] = ()) -> dict[str, Found]:
        """The members of a class, with those of the bases that have no public name of their own."""
        members: dict[str, Found] = {}
        for owner in self._lineage(found, public):
            for name, member in owner.definition.members.items():
                members.setdefault(name, Found(member, owner.module, f"{owner.origin}.{name}"))
        return members

    def _lineage(self, found: Found, stop_at: Container[str]) -> Iterator[Found]:
        """A class and its base classes, nearest first, each once, not going past those in `stop_at`."""
        waiting, seen = [found], set()
        while waiting:
            owner = waiting.pop(0)
            seen.add(owner.origin)
            yield owner
            for dotted in owner.definition.bases:
                base = self._find_dotted(owner.module, dotted, ())
                if isinstance(base, Found) and base.origin not in seen and base.origin not in stop_at:
                    waiting.append(base)


def _well_formed(text: str) -> str:
    """A string literal may hold lone surrogates, which no encoding can write; they are spelled out as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _is_own(target: Target | str, module: Module) -> bool:
    """Whether a module without `__all__` means a name for its users: what it defines, second names of that, and what a
    package takes from its own modules, as packages do that gather their interface."""
    match target:
        case Definition():
            return True
        case Alias(target=dotted):
            return len(dotted) == 1
        case Imported(module=source, attribute=str()):
            return module.is_package and source.startswith(f"{module.name}.")
    return False


def _is_public(module: str) -> bool:
    parts = module.split(".")
    kept = not _UNDOCUMENTED.fullmatch(module) and not _UNDOCUMENTED.fullmatch(parts[0])
    return kept and not any(part.startswith("_") for part in parts)
