from __future__ import annotations

import inspect
import json.decoder
import textwrap
from pathlib import Path

import pytest

from lumilab.corpus.sources.python_syntax import Alias, Definition, Imported, Instance, Module, parse_module


def parse(source: str, name: str = "pkg.mod", *, is_package: bool = False) -> Module:
    return parse_module(textwrap.dedent(source).encode(), name, is_package)


def test_definitions_with_their_docstrings_and_signatures() -> None:
    module = parse(
        '''
        """The module."""
        def plain(a: int, /, b=2, *c, d: str = "x", **e) -> None:
            """  Plain.

                Indented.
            """
        async def waits(): ...
        class Thing(base.Base, metaclass=M):
            """A thing."""
            def __init__(self, size=3): pass
            def method(self, x): "Method."
            @staticmethod
            def static(x): "Static."
            @classmethod
            def make(cls, *, y=None): "Make."
            @property
            def size(self): "Size."
            @size.setter
            def size(self, value): "Not this."
            class Inner: "Inner."
        '''
    )
    assert module.doc == "The module."
    bindings = dict(module.bindings)
    assert bindings["plain"] == Definition("function", "(a, /, b=2, *c, d='x', **e)", "Plain.\n\nIndented.")
    assert bindings["waits"] == Definition("function", "()", None)
    thing = bindings["Thing"]
    assert isinstance(thing, Definition)
    assert (thing.signature, thing.doc, thing.bases) == ("(size=3)", "A thing.", (("base", "Base"),))
    told = {name: (member.kind, member.signature, member.doc) for name, member in thing.members.items()}
    del told["__init__"]
    assert told == {
        "method": ("function", "(x)", "Method."),
        "static": ("function", "(x)", "Static."),
        "make": ("function", "(*, y=None)", "Make."),
        "size": ("attribute", None, "Size."),
        "Inner": ("class", None, "Inner."),
    }


def test_imports_aliases_and_instances_in_order() -> None:
    module = parse(
        """
        import a.b
        import c.d as e
        from . import sibling
        from ..up import thing as other
        from absolute.place import *
        _inst = Random()
        choice = _inst.choice
        number = 3
        """
    )
    assert module.bindings == [
        ("a", Imported("a")),
        ("e", Imported("c.d")),
        ("sibling", Imported("pkg", "sibling")),
        ("other", Imported("up", "thing")),
        (None, "absolute.place"),
        ("_inst", Instance(("Random",))),
        ("choice", Alias(("_inst", "choice"))),
    ]


def test_a_package_imports_relative_to_itself() -> None:
    module = parse("from .inner import x", "pkg.sub", is_package=True)
    assert module.bindings == [("x", Imported("pkg.sub.inner", "x"))]


def test_the_likelier_branch_counts_as_the_later() -> None:
    module = parse(
        """
        try:
            from _fast import f
        except ImportError:
            from slow import f
        if posix:
            import posixpath as path
        else:
            import ntpath as path
        from _posix import fspath
        if not _exists("fspath"):
            fspath = _fspath
        if __name__ == "__main__":
            def f(): "Not this."
        """
    )
    last = dict(module.bindings)
    assert last == {"f": Imported("_fast", "f"), "path": Imported("posixpath"), "fspath": Imported("_posix", "fspath")}
    assert ("fspath", Alias(("_fspath",))) in module.bindings


@pytest.mark.parametrize(
    ("source", "declared", "declared_by", "computed"),
    [
        ("x = 1", None, [], False),
        ("__all__ = ['a', 'b']", {"a", "b"}, [], False),
        ("__all__ = 'a', 'b'", {"a", "b"}, [], False),
        ("__all__ = ['a']\n__all__ += ['b']\n__all__.append('c')\n__all__.extend(('d',))", set("abcd"), [], False),
        ("__all__ = ['a'] + one.__all__ + two.three.__all__", {"a"}, [("one",), ("two", "three")], False),
        ("from x.y import __all__", set(), [("x", "y")], False),
        ("__all__ = [n for n in globals()]", set(), [], True),
        ("__all__ = ['a']\n__all__.extend(names(_socket))", {"a"}, [], True),
    ],
)
def test_exports(source: str, declared: set[str] | None, declared_by: list[tuple[str]], computed: bool) -> None:
    module = parse(source)
    assert (module.declared, module.declared_by, module.computed) == (declared, declared_by, computed)


def test_lazy_imports_and_modules_under_another_name() -> None:
    module = parse(
        """
        def __getattr__(name):
            if name == "Pool":
                from .process import Pool as pool
                return pool
        sys.modules["os.path"] = path
        sys.modules[__name__] = _real
        """
    )
    assert module.lazy == {"Pool": Imported("pkg.process", "Pool")}
    assert module.registered == {"os.path": ("path",), "pkg.mod": ("_real",)}


def test_decorators_that_lend_a_docstring_or_replace_the_function() -> None:
    module = parse(
        """
        @_wraps(_signal.signal)
        def signal(number, handler): pass
        @_SpecialForm
        def Optional(self, parameters): "Optional."
        """
    )
    assert module.bindings == [
        ("signal", Definition("function", "(number, handler)", None, wraps=("_signal", "signal"))),
        ("Optional", Definition("function", None, "Optional.")),
    ]


def test_nothing_of_the_module_runs(tmp_path: Path) -> None:
    parse(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", [b"def broken(", b"print 'old'", b"x = '\x00'"])
def test_what_is_not_python_is_an_error_of_two_kinds(source: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        parse_module(source, "m", False)


@pytest.mark.parametrize("module", [json, json.decoder, inspect, textwrap])
def test_agrees_with_inspect_on_real_modules(module: object) -> None:
    """Names and kinds of the parameters; defaults are code here and values there."""
    parsed = parse_module(Path(inspect.getfile(module)).read_bytes(), module.__name__, False)  # type: ignore[arg-type]
    compared = 0
    for name, target in parsed.bindings:
        live = vars(module).get(str(name))
        if isinstance(target, Definition) and inspect.isfunction(live) and live.__module__ == module.__name__:  # type: ignore[attr-defined]
            assert target.doc == inspect.getdoc(live)
            ours = inspect.signature(eval(f"lambda {str(target.signature)[1:-1]}: 0", vars(module)))
            assert [(p.name, p.kind) for p in ours.parameters.values()] == [
                (p.name, p.kind) for p in inspect.signature(live).parameters.values()
            ]
            compared += 1
    assert compared
