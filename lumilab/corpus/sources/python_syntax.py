"""What a Python source file defines, imports and exports, read from its syntax tree and never by running it.

The order of the statements is kept, because a module may define a function in Python and then import a compiled one
of the same name in its place. Where the tree branches, both branches are taken, and the one that is likelier to run
counts as the later: the body of a `try` after its handlers, the body of an `if` after its `else`. What stands behind
`if not` is there for want of something better and comes before all else.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from typing import Literal

Dotted = tuple[str, ...]
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, a class, or a documented attribute of a class (a property).

    `signature` is without annotations and without self. `bases` and `wraps` are names to look up in the module of
    the definition: the base classes, and the function a decorator takes the docstring from.
    """

    kind: Literal["function", "class", "attribute"]
    signature: str | None
    doc: str | None
    members: dict[str, Definition] = field(default_factory=dict)
    bases: tuple[Dotted, ...] = ()
    wraps: Dotted | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """`import module`, or `from module import attribute`."""

    module: str
    attribute: str | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """`name = other.attribute`."""

    target: Dotted


@dataclass(frozen=True, slots=True)
class Instance:
    """`name = Class(...)`."""

    of: Dotted


Target = Definition | Imported | Alias | Instance


@dataclass(slots=True)
class Module:
    """One parsed file.

    Attributes:
        bindings: in order: (name, what it is), or (None, module) for a star import.
        declared: the names in `__all__`; None without one.
        declared_by: modules whose `__all__` is taken over, by the names they have here.
        computed: some of `__all__` is computed in a way that is not followed here.
        lazy: imports in the module's `__getattr__`, by the name they give.
        registered: modules it makes importable under a name: `sys.modules["os.path"] = path`.
    """

    name: str
    is_package: bool
    doc: str | None
    bindings: list[tuple[str, Target] | tuple[None, str]] = field(default_factory=list)
    declared: set[str] | None = None
    declared_by: list[Dotted] = field(default_factory=list)
    computed: bool = False
    lazy: dict[str, Imported] = field(default_factory=dict)
    registered: dict[str, Dotted] = field(default_factory=dict)


def parse_module(source: bytes, name: str, is_package: bool) -> Module:
    """Reads one module.

    Raises:
        SyntaxError, ValueError: it is not Python of this interpreter's version.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in strings: not ours to mend
        tree = ast.parse(source)
    module = Module(name, is_package, ast.get_docstring(tree))
    _read_statements(tree.body, module)
    return module


def _read_statements(statements: list[ast.stmt], module: Module) -> None:
    for statement in statements:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                _read_definition(statement, module)
            case ast.Import() | ast.ImportFrom():
                _read_import(statement, module)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Expr():
                _read_value(statement, module)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case ast.If(test=ast.UnaryOp(op=ast.Not())):
                earlier, module.bindings = module.bindings, []
                _read_statements(statement.body, module)
                module.bindings += earlier
                _read_statements(statement.orelse, module)
            case ast.If():
                _read_statements(statement.orelse, module)
                _read_statements(statement.body, module)
            case ast.Try():
                for handler in statement.handlers:
                    _read_statements(handler.body, module)
                _read_statements(statement.body + statement.orelse + statement.finalbody, module)
            case ast.With():
                _read_statements(statement.body, module)


def _read_definition(node: _Function | ast.ClassDef, module: Module) -> None:
    if isinstance(node, ast.ClassDef):
        module.bindings.append((node.name, _class(node)))
        return
    module.bindings.append((node.name, _function(node)))
    if node.name == "__getattr__":
        for inner in ast.walk(node):
            if isinstance(inner, ast.ImportFrom):
                source = _absolute(inner, module)
                module.lazy |= {alias.name: Imported(source, alias.name) for alias in inner.names}


def _read_import(node: ast.Import | ast.ImportFrom, module: Module) -> None:
    source = _absolute(node, module) if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        bound = alias.asname or alias.name
        if isinstance(node, ast.Import):
            top = alias.name.partition(".")[0]
            module.bindings.append((bound, Imported(alias.name)) if alias.asname else (top, Imported(top)))
        elif alias.name == "*":
            module.bindings.append((None, source))
        elif bound == "__all__":
            module.declared = module.declared or set()
            module.declared_by.append(tuple(source.split(".")))
        else:
            module.bindings.append((bound, Imported(source, alias.name)))


def _read_value(node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr, module: Module) -> None:
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
            module.declared, module.declared_by, module.computed = set(), [], False
            _read_exports(value, module)
        case ast.AugAssign(target=ast.Name(id="__all__"), value=value):
            _read_exports(value, module)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="__all__"), attr=method), args=[argument])):
            _read_exports(ast.List([argument]) if method == "append" else argument, module)
        case ast.Assign(targets=[ast.Subscript(value=ast.Attribute(attr="modules"), slice=key)], value=value):
            name = key.value if isinstance(key, ast.Constant) else module.name
            if dotted := _dotted(value):
                module.registered[str(name)] = dotted
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            if dotted := _dotted(value):
                module.bindings.append((name, Alias(dotted)))
            elif isinstance(value, ast.Call) and (dotted := _dotted(value.func)):
                module.bindings.append((name, Instance(dotted)))


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    package = package[: len(package) - node.level + (1 if module.is_package else 0)]
    return ".".join(package + ([node.module] if node.module else []))


def _read_exports(value: ast.expr, module: Module) -> None:
    module.declared = module.declared or set()
    match value:
        case ast.List() | ast.Tuple():
            for item in value.elts:
                if isinstance(item, ast.Constant) and isinstance(item.value, str):
                    module.declared.add(item.value)
                else:
                    module.computed = True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            _read_exports(left, module)
            _read_exports(right, module)
        case ast.Attribute(attr="__all__") if dotted := _dotted(value):
            module.declared_by.append(dotted[:-1])
        case _:
            module.computed = True


def _dotted(node: ast.expr) -> Dotted | None:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=attribute):
            head = _dotted(value)
            return (*head, attribute) if head else None
    return None


def _function(node: _Function) -> Definition:
    decorators = [_decorator(decorator) for decorator in node.decorator_list]
    wraps = next((target for name, target in decorators if name.endswith("wraps") and target), None)
    # A decorator that is a class, as typing's special forms use it, makes something else of the function's arguments.
    replaced = any(name.lstrip("_")[:1].isupper() for name, _ in decorators)
    return Definition("function", None if replaced else _signature(node.args), ast.get_docstring(node), wraps=wraps)


def _decorator(node: ast.expr) -> tuple[str, Dotted | None]:
    """The last name of a decorator, and its first argument if that is a name."""
    argument = None
    if isinstance(node, ast.Call):
        argument = _dotted(node.args[0]) if node.args else None
        node = node.func
    return (_dotted(node) or ("",))[-1], argument


def _class(node: ast.ClassDef) -> Definition:
    members: dict[str, Definition] = {}
    signature = None
    for item in node.body:
        if isinstance(item, ast.ClassDef):
            members[item.name] = _class(item)
        elif isinstance(item, _Function):
            if item.name in ("__init__", "__new__"):
                signature = _signature(_without_first(item.args))
            method = _method(item)
            if method is not None:
                members.setdefault(item.name, method)
    bases = tuple(dotted for base in node.bases if (dotted := _dotted(base)))
    return Definition("class", signature, ast.get_docstring(node), members, bases)


def _method(node: _Function) -> Definition | None:
    names = {_decorator(decorator)[0] for decorator in node.decorator_list}
    if names & {"setter", "deleter", "getter", "overload"}:
        return None
    doc = ast.get_docstring(node)
    if any(name.endswith("property") for name in names):
        return Definition("attribute", None, doc)
    args = node.args if "staticmethod" in names else _without_first(node.args)
    return Definition("function", _signature(args), doc)


def _without_first(args: ast.arguments) -> ast.arguments:
    """The arguments as a caller of a bound method sees them."""
    posonly, plain = args.posonlyargs, args.args
    posonly, plain = (posonly[1:], plain) if posonly else (posonly, plain[1:])
    defaults = args.defaults[max(len(args.defaults) - len(posonly) - len(plain), 0) :]
    return ast.arguments(posonly, plain, args.vararg, args.kwonlyargs, args.kw_defaults, args.kwarg, defaults)


def _signature(args: ast.arguments) -> str:
    for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
        if arg is not None:
            arg.annotation = None
    return f"({ast.unparse(args)})"
