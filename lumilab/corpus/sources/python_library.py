"""The running interpreter's own library as a corpus: its language reference, its docstrings and its source files.

Every Python installation carries about 13 MB of good technical English and code, so a pipeline can run with no
network and no data at hand. Source files are read and parsed, never imported; compiled modules, whose docstrings lie
in no file, describe themselves in a child process (see describe_compiled.py). The result is a function of the
interpreter's version, its build and the files of its library.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from lumilab.corpus.document import BadRecord, Document, Record
from lumilab.corpus.sources.python_compiled import compiled_modules
from lumilab.corpus.sources.python_installation import TOPICS, library_files, library_folder
from lumilab.corpus.sources.python_names import Entry, Library
from lumilab.corpus.sources.python_syntax import Module, parse_module
from lumilab.corpus.sources.source import Part, RawPath, ReadTask
from lumilab.recipe.corpus import PythonSource
from lumilab.work.stopping import StopRequest

# Some eighty character tables of 8-bit encodings, a tenth of all the code and nearly the same text each.
_GENERATED_TABLE = re.compile(r"generated from .* with gencodec\.py")


class PythonLibrary:
    """The library as a source with up to three parts, each one task: documentation, docstrings, code.

    Raises:
        InputError: this interpreter came without its library's source files.
    """

    def __init__(self, config: PythonSource) -> None:
        self.name = config.name
        self._config = config
        self._folder = library_folder()
        self._files = library_files(self._folder)

    def raw_paths(self) -> list[RawPath]:
        sources_read = self._config.docstrings or self._config.code
        wanted = [name for name in self._files if (self._config.documentation if name == TOPICS else sources_read)]
        return [RawPath(self.name, self._folder, name) for name in wanted]

    def parts(self) -> list[Part]:
        sizes = {name: (self._folder / name).stat().st_size for name in self._files}
        topics = sizes.pop(TOPICS, 0)
        sources = sum(sizes.values())
        tasks: tuple[tuple[bool, ReadTask], ...] = (
            (self._config.documentation, DocumentationTask(self.name, topics)),
            (self._config.docstrings, DocstringsTask(self.name, sources)),
            (self._config.code, CodeTask(self.name, sources)),
        )
        return [Part(task.name, [task]) for wanted, task in tasks if wanted]


@dataclass(frozen=True)
class DocumentationTask:
    """The language reference. Like the tasks below it finds the library anew where it is read."""

    source: str
    size: int
    name: str = "documentation"

    def read(self, stop: StopRequest) -> Iterator[Record]:
        folder = library_folder()
        if not (folder / TOPICS).is_file():
            return  # some distributions leave it out
        stop.check()
        topics = _read_topics((folder / TOPICS).read_bytes())
        if topics is None:
            yield BadRecord(self.source, TOPICS, None, "not a table of topics")
            return
        for topic, text in sorted(topics.items()):
            yield Document(f"{self.source}:topics/{topic}", text, self.source, meta={"topic": topic})


@dataclass(frozen=True)
class DocstringsTask:
    """One document a module."""

    source: str
    size: int
    name: str = "docstrings"

    def read(self, stop: StopRequest) -> Iterator[Record]:
        reader = _LibraryReader(stop)
        for module, entries in groupby(sorted(reader.entries(), key=lambda entry: entry.module), _module_of):
            text = _module_text(module, list(entries))
            yield Document(f"{self.source}:docstrings/{module}", text, self.source, meta=_meta(module))
        for name in reader.unreadable:
            yield BadRecord(self.source, name, None, "not valid Python")


@dataclass(frozen=True)
class CodeTask:
    """One document a source file."""

    source: str
    size: int
    name: str = "code"

    def read(self, stop: StopRequest) -> Iterator[Record]:
        folder = library_folder()
        for name in library_files(folder):
            stop.check()
            if name == TOPICS:
                continue  # the documentation once more, as escaped string literals
            text = _decode((folder / name).read_bytes())
            if text is None:
                yield BadRecord(self.source, name, None, "not in the encoding it declares")
            elif not _GENERATED_TABLE.search(text, 0, 500):
                yield Document(f"{self.source}:code/{name}", text, self.source, meta=_meta(_module_name(name)))


def _meta(module: str) -> dict[str, str]:
    """More than half of the docstrings' text stands in the code as well, so both go by the module's name."""
    return {"module": module, "group": f"python module {module}"}


def docstrings(stop: StopRequest | None = None) -> Iterator[Entry]:
    """Every documented public name of the library with its kind, signature and docstring, sorted by name.

    Names are those a user would ask for ("json.dumps", "os.path.join", "str.split", "len"): each definition under its
    best name, and under second names in the same module ("bisect.bisect").
    A signature reads "(obj, *, skipkeys=False)": no annotations, no self; None for modules, for properties and where
    none is known. Docstrings are dedented. Takes a few seconds; `stop` is honoured between modules.

    Raises:
        InputError: this interpreter came without its library's source files.
    """
    yield from _LibraryReader(stop or StopRequest()).entries()


class _LibraryReader:
    """Parses the library's modules as they are asked for, and remembers those that cannot be."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._folder = library_folder()
        self._paths = {_module_name(name): name for name in library_files(self._folder)}
        self.unreadable: list[str] = []

    def entries(self) -> list[Entry]:
        self._stop.check()
        return Library(list(self._paths), self._parse, compiled_modules()).entries()

    def _parse(self, module: str) -> Module | None:
        self._stop.check()
        name = self._paths[module]
        try:
            return parse_module((self._folder / name).read_bytes(), module, name.endswith("/__init__.py"))
        except (SyntaxError, ValueError):
            self.unreadable.append(name)
            return None


def _module_of(entry: Entry) -> str:
    return entry.module


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _read_topics(source: bytes) -> dict[str, str] | None:
    """The dictionary `topics` of pydoc's data module, read as a literal."""
    try:
        for statement in ast.parse(source).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id="topics")], value=value):
                    topics = ast.literal_eval(value)
                    if isinstance(topics, dict):
                        return {str(topic): str(text) for topic, text in topics.items()}
    except (SyntaxError, ValueError):
        pass
    return None


def _decode(source: bytes) -> str | None:
    """A source file's text, by the encoding it declares (PEP 263); UTF-8 is tried first as nearly all are."""
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
            return source.decode(encoding)
        except (SyntaxError, UnicodeDecodeError):
            return None


def _module_text(module: str, entries: list[Entry]) -> str:
    """What a module offers, as `help()` would lay it out: each name with its signature, the docstring indented."""
    own = next((entry.doc for entry in entries if entry.name == module and entry.kind == "module"), "")
    blocks = [f"Module {module}", own] if own else [f"Module {module}"]
    for entry in entries:
        if entry.kind != "module":
            label = f"class {entry.name}" if entry.kind == "class" else entry.name
            blocks += [label + (entry.signature or ""), textwrap.indent(entry.doc, "    ")]
    return "\n\n".join(blocks)
