from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import pickle
import subprocess
import sys
import types
import venv
import warnings
from pathlib import Path
from typing import Any

import pytest

from lumilab.corpus.document import BadRecord, Document, Record
from lumilab.corpus.sources import python_compiled, python_installation, python_library
from lumilab.corpus.sources.python_compiled import compiled_modules
from lumilab.corpus.sources.python_installation import TOPICS, interpreter, library_files, library_folder
from lumilab.corpus.sources.python_library import PythonLibrary, docstrings
from lumilab.corpus.sources.python_names import Entry
from lumilab.corpus.sources.source import Part, ReadTask
from lumilab.errors import InputError, Interrupted
from lumilab.recipe.corpus import PythonSource
from lumilab.work.stopping import StopRequest


def read(part: Part) -> list[Record]:
    """What a part's only task reads, after the way to a worker and back."""
    (task,) = part.tasks
    sent: ReadTask = pickle.loads(pickle.dumps(task))
    assert sent == task
    return list(sent.read(StopRequest()))


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    found = list(docstrings())
    assert [entry.name for entry in found] == sorted({entry.name for entry in found})
    return {entry.name: entry for entry in found}


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Document]]:
    source = PythonLibrary(PythonSource())
    records = {part.name: read(part) for part in source.parts()}
    assert not [record for group in records.values() for record in group if isinstance(record, BadRecord)]
    return records  # type: ignore[return-value]


def live(name: str) -> Any:
    """What the running interpreter has under a name, by importing it."""
    parts = name.split(".")
    if hasattr(builtins, parts[0]):
        value: Any = builtins
        taken = 0
    else:
        taken = 1
        value = importlib.import_module(parts[0])
        while taken < len(parts) and not hasattr(value, parts[taken]):
            taken += 1
            value = importlib.import_module(".".join(parts[:taken]))
    for part in parts[taken:]:
        value = getattr(value, part)
    return value


ASKED_FOR = """
    json json.dumps json.JSONDecoder.decode os os.path os.path.join os.listdir os.makedirs collections.OrderedDict
    collections.deque.appendleft collections.abc.Mapping len print open str.split dict.fromkeys ValueError random.choice
    random.random math.sqrt itertools.chain functools.lru_cache functools.partial asyncio.run asyncio.gather
    threading.Thread threading.Lock socket.socket socket.socket.send datetime.datetime.isoformat pathlib.Path.mkdir
    re.compile subprocess.run sqlite3.connect bisect.bisect bisect.bisect_left heapq.heappush decimal.Decimal.sqrt
    signal.signal typing.NamedTuple io.StringIO sys.exit sys.excepthook time.sleep unittest.TestCase unittest.mock.patch
    collections.namedtuple dataclasses.dataclass logging.getLogger contextlib.contextmanager pickle.dumps struct.pack
    copy.deepcopy shutil.copytree urllib.request.urlopen http.client.HTTPConnection.request multiprocessing.Pool
    argparse.ArgumentParser.add_argument operator.itemgetter queue.Queue.get array.array.append zlib.compress
"""


@pytest.mark.parametrize("name", ASKED_FOR.split())
def test_the_names_a_user_would_ask_for_are_there(entries: dict[str, Entry], name: str) -> None:
    assert name in entries


def test_docstrings_and_signatures_agree_with_the_living_objects(entries: dict[str, Entry]) -> None:
    """Against importing and inspecting, on packages of every kind that other packages do not patch."""
    tops = {"json", "collections", "functools", "itertools", "math", "random", "shutil", "heapq", "bisect", "struct"}
    tops |= {"argparse", "csv", "textwrap", "statistics", "io", "os", "str", "int", "dict", "list", "len", "operator"}
    compared = signatures = 0
    for name, entry in entries.items():
        if name.split(".")[0] not in tops:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = live(name)
        except (AttributeError, ImportError):
            assert name.startswith("os."), f"{name} exists only in the other half of os"
            continue
        if entry.kind != "attribute":
            assert entry.doc == inspect.getdoc(value), name
        compared += 1
        if entry.kind == "function" and entry.signature is not None:
            expected = list(inspect.signature(value).parameters)[1 if _is_unbound_method(name) else 0 :]
            assert _parameters(entry.signature) == expected, name
            signatures += 1
    assert compared > 500
    assert signatures > 300


def _is_unbound_method(name: str) -> bool:
    owner, _, last = name.rpartition(".")
    if not owner or not inspect.isclass(live(owner)):
        return False
    bound = (staticmethod, classmethod, types.ClassMethodDescriptorType, types.BuiltinMethodType)
    return not isinstance(inspect.getattr_static(live(owner), last), bound)


def _parameters(signature: str) -> list[str]:
    (function,) = ast.parse(f"def f{signature}: pass").body
    assert isinstance(function, ast.FunctionDef)
    args = function.args
    listed = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [arg.arg for arg in listed if arg is not None]


def test_nothing_private_and_no_tests(entries: dict[str, Entry]) -> None:
    for name in entries:
        assert not any(part.startswith("_") for part in name.split(".")), name
        assert name.split(".")[0] not in {"test", "idlelib", "turtledemo", "antigravity", "this"}


def test_each_entry_is_whole(entries: dict[str, Entry]) -> None:
    assert {entry.kind for entry in entries.values()} == {"module", "class", "function", "attribute"}
    for entry in entries.values():
        assert entry.doc.strip()
        assert " at 0x" not in (entry.signature or "")
        if entry.signature is not None:
            ast.parse(f"def f{entry.signature}: pass")


def test_patching_the_running_process_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled_modules()
    monkeypatch.setattr(sys, "excepthook", lambda *args: None)
    monkeypatch.setattr(builtins, "print", lambda *args: None)
    monkeypatch.setitem(sys.modules, "math", None)
    assert compiled_modules() == before
    assert {"print", "len"} <= before["builtins"].names.keys()
    assert "excepthook" in before["sys"].names


def test_documentation_is_what_pydoc_has(parts: dict[str, list[Document]]) -> None:
    topics = importlib.import_module("pydoc_data.topics").topics
    assert {document.id: document.text for document in parts["documentation"]} == {
        f"python:topics/{topic}": text for topic, text in topics.items()
    }


def test_code_is_the_library_without_tests_and_tables(parts: dict[str, list[Document]]) -> None:
    texts = {document.id: document.text for document in parts["code"]}
    assert texts["python:code/json/decoder.py"] == Path(json.decoder.__file__).read_text(encoding="utf-8")
    assert not [name for name in texts if "/test" in name or "site-packages" in name or "_sysconfigdata" in name]
    assert "python:code/encodings/utf_8.py" in texts
    assert "python:code/encodings/cp1252.py" not in texts
    assert sum(map(len, texts.values())) > 5_000_000


def test_a_module_document_tells_what_the_module_offers(parts: dict[str, list[Document]]) -> None:
    texts = {document.id: document.text for document in parts["docstrings"]}
    text = texts["python:docstrings/bisect"]
    assert text.startswith("Module bisect\n\nBisection algorithms.\n\nbisect.bisect(a, x")
    assert "\n\n    Return the index where to insert item x in list a, assuming a is sorted.\n" in text
    assert (
        "class collections.OrderedDict\n\n    Dictionary that remembers insertion order"
        in (texts["python:docstrings/collections"])
    )
    assert "\nlen(obj, /)\n\n    Return the number of items in a container." in texts["python:docstrings/builtins"]


def test_parts_and_raw_files_follow_the_configuration() -> None:
    only_topics = PythonLibrary(PythonSource(docstrings=False, code=False))
    assert [part.name for part in only_topics.parts()] == ["documentation"]
    assert [file.name for file in only_topics.raw_paths()] == [TOPICS]
    no_topics = PythonLibrary(PythonSource(documentation=False))
    assert [part.name for part in no_topics.parts()] == ["docstrings", "code"]
    assert TOPICS not in {file.name for file in no_topics.raw_paths()}
    assert {"os.py", "json/decoder.py", "_collections_abc.py"} <= {file.name for file in no_topics.raw_paths()}


def test_library_files_leave_out_what_is_not_the_library(tmp_path: Path) -> None:
    kept = ["a.py", "pkg/__init__.py", "pkg/testing.py"]
    other = ["site-packages/x.py", "pkg/tests/t.py", "test/t.py", "__pycache__/a.py", "config-3.11-x/python-config.py"]
    other += ["_sysconfigdata__linux.py", "sitecustomize.py", "data.txt", "idlelib/idle_test/x.py"]
    for name in kept + other:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert library_files(tmp_path) == kept


def test_the_library_is_the_base_installations_also_in_a_virtual_environment(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    code = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    shown = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(shown) == library_folder()
    assert (library_folder() / "json/decoder.py").samefile(json.decoder.__file__)


def test_a_library_without_sources_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_installation.sysconfig, "get_path", lambda name: str(tmp_path / "python311.zip"))
    with pytest.raises(InputError, match="no source files") as caught:
        PythonLibrary(PythonSource())
    assert caught.value.where == str(tmp_path / "python311.zip")


@pytest.fixture
def small_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "os.py").write_text('"""Small."""\ndef f():\n    "F."\n')
    monkeypatch.setattr(python_library, "library_folder", lambda: tmp_path)
    monkeypatch.setattr(python_library, "compiled_modules", dict)
    return tmp_path


def test_files_that_are_not_what_they_should_be_are_bad_records(small_library: Path) -> None:
    (small_library / "broken.py").write_text("def (")
    (small_library / "strange.py").write_bytes(b"x = '\xff'\n")
    (small_library / "latin.py").write_bytes(b"# coding: latin-1\nx = '\xe9'\n")
    (small_library / "pydoc_data").mkdir()
    (small_library / TOPICS).write_text("topics = make()")
    records = {part.name: read(part) for part in PythonLibrary(PythonSource()).parts()}
    assert records["documentation"] == [BadRecord("python", TOPICS, None, "not a table of topics")]
    docs, *unreadable = records["docstrings"]
    assert isinstance(docs, Document)
    assert docs.text == "Module os\n\nSmall.\n\nos.f()\n\n    F."
    assert [(bad.file, bad.reason) for bad in unreadable if isinstance(bad, BadRecord)] == [
        ("broken.py", "not valid Python"),
        ("strange.py", "not valid Python"),
    ]
    texts = {record.id: record.text for record in records["code"] if isinstance(record, Document)}
    assert texts["python:code/latin.py"].endswith("x = 'é'\n")
    assert BadRecord("python", "strange.py", None, "not in the encoding it declares") in records["code"]


def test_a_distribution_without_topics_has_no_documentation(small_library: Path) -> None:
    (documentation, *_) = PythonLibrary(PythonSource()).parts()
    assert read(documentation) == []


def test_a_stop_request_is_honoured() -> None:
    stop = StopRequest()
    stop.request(2)
    with pytest.raises(Interrupted):
        list(docstrings(stop))


def test_an_interpreter_that_cannot_be_started_again_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(python_compiled.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(InputError, match="compiled modules") as caught:
        compiled_modules()
    assert "docstrings: false" in (caught.value.mend or "")


def test_interpreter_names_implementation_and_version() -> None:
    assert interpreter() == f"{sys.implementation.name} {sys.version.split()[0]}"
