"""Prints, as JSON, what the compiled modules of the running interpreter say of themselves.

Run as a script in a child process with `-I -S`: there no other package is importable, nothing is patched, and what a
module does to its process when imported (some write to the terminal) ends with it. So it imports the standard library
only. A module that cannot be imported here, because it belongs to another platform or a part of Python that is not
installed, is left out.

Output: {module: {"doc", "names": {name: item}}} with item = {"kind", "origin", "signature", "doc", "members": {name:
item}}. The origin names the object: one object under two names has one origin.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import re
import sys
import types
import warnings
from typing import Any

_FUNCTIONS = (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType)
_ATTRIBUTES = (types.GetSetDescriptorType, types.MemberDescriptorType, property)
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9A-Fa-f]+>")


def describe_all() -> dict[str, Any]:
    """Every compiled module of the standard library, in the order of the names."""
    origins: dict[int, str] = {}
    described = {}
    for name in sorted(sys.stdlib_module_names):
        try:
            spec = importlib.util.find_spec(name)
            if spec is None or not _is_compiled(spec.loader):
                continue
            module = importlib.import_module(name)
        except Exception:  # whatever a module of another platform does when it cannot work here
            continue
        described[name] = {"doc": _doc(module), "names": _describe_module(module, origins)}
    return described


def _is_compiled(loader: object) -> bool:
    return loader is importlib.machinery.BuiltinImporter or isinstance(loader, importlib.machinery.ExtensionFileLoader)


def _describe_module(module: types.ModuleType, origins: dict[int, str]) -> dict[str, Any]:
    names = {}
    for name, value in sorted(vars(module).items()):
        if isinstance(value, (*_FUNCTIONS, type)):
            own_name = value.__name__ if vars(module).get(value.__name__) is value else name  # type: ignore[union-attr]
            origin = origins.setdefault(id(value), f"{module.__name__}:{own_name}")
            names[name] = _describe(value, value) | {"origin": origin}
    return names


def _describe(raw: Any, value: Any) -> dict[str, Any]:
    """Describes an object: `raw` as it stands in its class or module, `value` as a caller reaches it."""
    if isinstance(raw, type):
        members = {
            name: _describe(member, getattr(raw, name))
            for name, member in sorted(vars(raw).items())
            if not name.startswith("_") and _is_documented_member(member)
        }
        return {"kind": "class", "signature": _signature(raw), "doc": _doc(raw), "members": members}
    if isinstance(raw, _ATTRIBUTES):
        return {"kind": "attribute", "signature": None, "doc": _doc(raw), "members": {}}
    bound = not isinstance(raw, (types.MethodDescriptorType, types.WrapperDescriptorType))
    return {"kind": "function", "signature": _signature(value, drop_self=not bound), "doc": _doc(value), "members": {}}


def _is_documented_member(member: object) -> bool:
    callables = (*_FUNCTIONS, types.ClassMethodDescriptorType, staticmethod, classmethod)
    return isinstance(member, (*callables, *_ATTRIBUTES))


def _doc(value: object) -> str | None:
    doc = getattr(value, "__doc__", None)
    return inspect.cleandoc(doc) if isinstance(doc, str) else None


def _signature(value: Any, drop_self: bool = False) -> str | None:
    try:
        signature = inspect.signature(value)
    except Exception:  # a default value in a compiled signature is evaluated, and may not exist
        return None
    empty = inspect.Parameter.empty
    parameters = [parameter.replace(annotation=empty) for parameter in signature.parameters.values()]
    signature = signature.replace(parameters=parameters[1:] if drop_self else parameters, return_annotation=empty)
    return _ADDRESS.sub("...", str(signature))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # What compiled modules print must not mix with the answer (readline writes an escape sequence on import).
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with os.fdopen(answer, "w", encoding="ascii") as out:
        json.dump(describe_all(), out)
