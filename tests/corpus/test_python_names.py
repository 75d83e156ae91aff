from __future__ import annotations

import textwrap

from lumilab.corpus.sources.python_names import CompiledModule, Entry, Library
from lumilab.corpus.sources.python_syntax import Definition, parse_module


def library(sources: dict[str, str], compiled: dict[str, CompiledModule] | None = None) -> Library:
    packages = {name.rpartition(".")[0] for name in sources}

    def parse(name: str) -> object:
        return parse_module(textwrap.dedent(sources[name]).encode(), name, name in packages)

    return Library(list(sources), parse, compiled or {})  # type: ignore[arg-type]


def told(made: Library) -> dict[str, str]:
    return {entry.name: entry.doc for entry in made.entries()}


def function(doc: str, origin: str) -> tuple[Definition, str]:
    return Definition("function", "(x, /)", doc), origin


def test_a_private_definition_comes_under_its_public_name() -> None:
    made = library(
        {
            "json": "from ._impl import dumps\nfrom .decoder import Decoder\n__all__ = ['dumps', 'Decoder']",
            "json._impl": "def dumps(): 'Dumps.'\ndef hidden(): 'Hidden.'",
            "json.decoder": "class Decoder:\n  'Decoder.'\n  def decode(self, s): 'Decode.'\ndef scan(): 'Scan.'",
        }
    )
    assert told(made) == {
        "json.dumps": "Dumps.",
        "json.Decoder": "Decoder.",
        "json.Decoder.decode": "Decode.",
        "json.decoder.scan": "Scan.",
    }


def test_all_is_respected_and_private_names_are_left_out() -> None:
    made = library(
        {
            "a": "__all__ = ['f']\ndef f(): 'F.'\ndef g(): 'G.'",
            "b": "import a\nfrom a import g\ndef h(): 'H.'\ndef _i(): 'I.'",
            "_c": "def j(): 'J.'",
            "d._e": "def k(): 'K.'",
        }
    )
    assert told(made) == {"a.f": "F.", "b.h": "H."}


def test_the_compiled_definition_wins_where_it_exists() -> None:
    source = "def push(x): 'Slow.'\ndef only(): 'Only.'\ntry:\n  from _heap import *\nexcept ImportError: pass"
    assert told(library({"heap": source})) == {"heap.push": "Slow.", "heap.only": "Only."}
    compiled = {"_heap": CompiledModule(None, {"push": function("Fast.", "_heap:push")})}
    assert told(library({"heap": source}, compiled)) == {"heap.push": "Fast.", "heap.only": "Only."}


def test_builtins_have_no_prefix_and_beat_other_names() -> None:
    compiled = {
        "builtins": CompiledModule("Builtins.", {"open": function("Open.", "_io:open")}),
        "_io": CompiledModule(None, {"open": function("Open.", "_io:open")}),
    }
    made = library({"io": "from _io import open\n__all__ = ['open']"}, compiled)
    assert told(made) == {"builtins": "Builtins.", "open": "Open."}


def test_a_method_of_a_hidden_instance_is_a_function_of_the_module() -> None:
    made = library(
        {
            "rand": """
                import _rand
                class Random(_rand.Random):
                    "Generator."
                    def choice(self, seq): "Choose."
                _inst = Random()
                choice = _inst.choice
                random = _inst.random
                __all__ = ["Random", "choice", "random"]
            """
        },
        {
            "_rand": CompiledModule(
                None,
                {
                    "Random": (
                        Definition("class", None, "Base.", {"random": Definition("function", "()", "Draw.")}),
                        "_rand:Random",
                    )
                },
            )
        },
    )
    assert told(made) == {
        "rand.Random": "Generator.",
        "rand.Random.choice": "Choose.",
        "rand.Random.random": "Draw.",
        "rand.choice": "Choose.",
        "rand.random": "Draw.",
    }


def test_modules_with_a_second_name_are_known_by_it() -> None:
    made = library(
        {
            "os": "import sys\nimport posixpath as path\nsys.modules['os.path'] = path\n__all__ = ['path']",
            "posixpath": "'Paths.'\n__all__ = ['join']\ndef join(a, *p): 'Join.'",
            "coll.abc": "import _abc_, sys\nsys.modules[__name__] = _abc_",
            "_abc_": "'ABCs.'\n__all__ = ['Mapping']\nclass Mapping: 'Mapping.'",
        }
    )
    assert told(made) == {
        "os.path": "Paths.",
        "os.path.join": "Join.",
        "coll.abc": "ABCs.",
        "coll.abc.Mapping": "Mapping.",
    }


def test_second_names_in_one_module_are_aliases_without_members() -> None:
    made = library({"b": "class right:\n  'Right.'\n  def m(self): 'M.'\nboth = right"})
    assert told(made) == {"b.right": "Right.", "b.right.m": "M.", "b.both": "Right."}


def test_a_class_takes_its_signature_and_private_bases_members_from_its_bases() -> None:
    made = library(
        {
            "m": """
                class Base:
                    "Base."
                    def __init__(self, size): pass
                    def shown(self): "Shown."
                class _Hidden(Base):
                    def inherited(self): "Inherited."
                class Child(_Hidden): "Child."
            """
        }
    )
    entries = {entry.name: entry for entry in made.entries()}
    assert entries["m.Child"] == Entry("m.Child", "class", "(size)", "Child.", "m")
    assert {"m.Base.shown", "m.Child.inherited"} <= entries.keys()
    assert "m.Child.shown" not in entries


def test_circles_end() -> None:
    made = library(
        {
            "a": "from b import *\nfrom b import x\nx = x.z\nclass C(D): 'C.'\nclass D(C): 'D.'\ny = y.y()\nz = y.q",
            "b": "from a import *\nfrom a import x\n__all__ = a.__all__",
        }
    )
    assert told(made) == {"a.C": "C.", "a.D": "D."}


def test_docstrings_that_no_encoding_can_write_are_spelled_out() -> None:
    made = library({"m": "'Module \\udc80.'\ndef f(): 'Broken \\ud800.'"})
    assert told(made) == {"m": "Module \\udc80.", "m.f": "Broken \\ud800."}


def test_a_module_that_cannot_be_parsed_takes_nothing_with_it() -> None:
    def parse(name: str) -> object:
        return None if name == "broken" else parse_module(b"from broken import *\ndef f(): 'F.'", name, False)

    assert told(Library(["broken", "fine"], parse, {})) == {"fine.f": "F."}  # type: ignore[arg-type]
