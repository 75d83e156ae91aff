"""The house rules that a machine can check: pages that are true, dependencies that are used, files in their form."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lumilab.cli.app import app
from lumilab.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
PAGES += ["docs/coming-from.md", "docs/decisions.md", "docs/experiments.md", "docs/filters.md"]
PAGES += ["docs/post-training.md", "docs/serving.md"]
SOURCES = sorted(path for folder in ("lumilab", "bench", "tests") for path in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def declared(*extras: str) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {name_of(requirement) for requirements in lists for requirement in requirements} - {"lumilab"}


# --- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text()):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def commands_in(page: str) -> Iterator[str]:
    """Every `lumi ...` in backticks and every indented line that is a lumi command."""
    text = (ROOT / page).read_text()
    yield from re.findall(r"`(lumi(?: [^`]*)?)`", text)
    for line in re.findall(r"^    (?:\.venv/bin/)?(lumi .*)$", text, flags=re.MULTILINE):
        yield line.partition("#")[0].strip()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_the_pages_exists(page: str) -> None:
    every = get_command(app)
    for words in map(shlex.split, commands_in(page)):
        command: Any = every
        arguments = words[1:]
        while arguments and arguments[0] in getattr(command, "commands", {}):
            command = command.commands[arguments.pop(0)]
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        options = {word for word in arguments if word.startswith("--")}
        assert options <= known, " ".join(words)
        assert not hasattr(command, "commands") or options == set(arguments), " ".join(words)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_in_the_pages_exists(page: str) -> None:
    recipe = load_recipe("quickstart").recipe.model_dump()
    for key in re.findall(r"\b((?:[a-z_]+\.)+[a-z_]+)=", (ROOT / page).read_text()):
        values: Any = recipe
        for part in key.split("."):
            assert part in values, key
            values = values[part]


def test_the_recipes_in_the_readme_are_ones(tmp_path: Path) -> None:
    texts = re.findall(r"```yaml\n# (\S+)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    for name, text in texts:
        (tmp_path / name).write_text(text)
    recipes = {name: load_recipe(str(tmp_path / name)).recipe for name, _ in texts}
    assert {name: recipe.name for name, recipe in recipes.items()} == {"mine.yaml": "mine", "mixed.yaml": "mixed"}
    assert recipes["mine.yaml"].conversations is not None
    assert len(recipes["mixed.yaml"].pretrain.mixture.phases) == 2


def test_the_readme_names_every_command_and_every_stage() -> None:
    from lumilab.pipeline.stages import STAGES

    text = (ROOT / "README.md").read_text()
    command: Any = get_command(app)
    for name in command.commands:
        assert f"`lumi {name}" in text, name
    for stage in STAGES:
        assert f"\n**{stage.name}** " in text, stage.name


def test_the_page_of_the_house_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for room in (ROOT / "lumilab").iterdir():
        if room.is_dir() and (room / "__init__.py").exists():
            assert f"`{room.name}`" in text, room.name


# --- files -------------------------------------------------------------------------------------------------------


def breaches_of(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if path.is_relative_to(ROOT / "lumilab") and text.strip() and not ast.get_docstring(ast.parse(text)):
        yield "does not open with what it does"
    if text.count("\n") > 400:
        yield "is longer than 400 lines"
    if set(path.stem.split("_")) & {"utils", "util", "helpers", "helper", "common", "misc"}:
        yield "has a name that says nothing"
    if re.search(r"\x23.*\b(TODO|FIXME|XXX)\b", text):
        yield "has something left open"


def test_every_file_keeps_the_habits() -> None:
    assert [f"{path.relative_to(ROOT)} {breach}" for path in SOURCES for breach in breaches_of(path)] == []


def test_no_path_of_this_machine_is_in_the_repository() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    here = [f"{place}/" for place in {str(ROOT), str(Path.home())} if len(place) > 4]
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [place for place in here if place in text], name


def test_the_licence_is_the_one_that_is_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert "END OF TERMS AND CONDITIONS" in text


# --- dependencies ------------------------------------------------------------------------------------------------


def imports_of(folder: str) -> set[str]:
    """Top-level names of what the Python files below a folder import from outside the standard library."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"lumilab", "_typeshed"}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    distributions = metadata.packages_distributions()
    imported = {name_of(distributions[name][0]) for name in imports_of("lumilab")}
    behind_others = {
        "tensorboard",  # what torch.utils.tensorboard writes with
        "accelerate",  # what transformers opens GGUF files with
        "jinja2",  # what transformers renders chat templates with
        "trl",  # asked for by its name when it is wanted, as is the next
        "datasets",
        "lxml-html-clean",  # what trafilatura cleans with, which lxml once held
    }
    needed = declared("corpus", "ray", "sentencepiece", "hf", "gguf", "lora", "trl", "serve", "eval")
    assert imported - needed == set(), "imported, but not in the dependencies of pyproject.toml"
    assert needed - imported - behind_others == set(), "declared in pyproject.toml, but never imported"


def test_every_declared_package_is_pinned_to_a_version_that_suits() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    pinned = {name_of(name): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"]
    assert declared(*extras) - pinned.keys() == set()
    for requirement in [*PROJECT["dependencies"], *(name for extra in extras.values() for name in extra)]:
        least = re.search(r">=([\d.]+)", requirement)
        if least:
            version = [int(part) for part in re.findall(r"\d+", pinned[name_of(requirement)])]
            assert version >= [int(part) for part in least[1].split(".")], requirement


def modules_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("heavy", ["torch", "numpy", "transformers", "tokenizers", "numba", "pyarrow", "ray"])
def test_the_ground_floor_and_the_front_door_are_light(heavy: str) -> None:
    loaded = modules_after(
        "import lumilab.errors, lumilab.recipe, lumilab.artifact, lumilab.work.lock, lumilab.cli.app"
    )
    assert heavy not in loaded


def test_the_model_imports_torch_and_nothing_else_from_outside() -> None:
    assert imports_of("lumilab/model") == {"torch"}


# --- make --------------------------------------------------------------------------------------------------------

FAKE_PYTHON = """\
#!/bin/sh
# Stands for Python: answers questions as {answers}, makes environments of itself, and writes down what pip is asked.
case "$1 $2" in
    "-c "*ensurepip*) exit {no_venv} ;;
    "-c "*) exit {out_of_range} ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/lumi" ;;
    "-m pip") echo "$@" >> pip.log ;;
    "quickstart "*) echo "quickstart ran" ;;
esac
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with the Makefile and what it reads, and a `bin` that comes first on the path."""
    if shutil.which("make") is None or os.name == "nt":
        pytest.skip("there is no make here")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "id", "#!/bin/sh\necho 1000\n")  # nobody who could install packages of the system
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_python(path: Path, *, out_of_range: int = 0, no_venv: int = 0) -> Path:
    text = FAKE_PYTHON.format(answers="told", out_of_range=out_of_range, no_venv=no_venv)
    return program(path, text)


def make(house: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    environment = inherited | {"PATH": path or f"{house / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["make", *words], cwd=house, env=environment, capture_output=True, text=True, check=False)


def test_make_installs_once_and_again_when_the_pins_change(house: Path) -> None:
    python = fake_python(house / "bin" / "some-python")
    for _ in range(2):
        done = make(house, "demo", f"PYTHON={python}")
        assert done.returncode == 0, done.stderr
        assert "quickstart ran" in done.stdout
    newer, *installed = (house / "pip.log").read_text().splitlines()
    assert newer.endswith("--upgrade pip")
    assert len(installed) == 1 and "-c constraints.txt -e ." in installed[0] and "dev" not in installed[0]
    later = (house / ".venv" / "installed").stat().st_mtime + 5
    os.utime(house / "constraints.txt", (later, later))
    make(house, "demo", f"PYTHON={python}")
    assert (house / "pip.log").read_text().splitlines() == [newer, *installed, *installed]


def test_make_takes_the_first_python_that_suits(house: Path) -> None:
    fake_python(house / "bin" / "python3.11", out_of_range=1)
    fake_python(house / "bin" / "python3.12")
    done = make(house, "demo")
    assert done.returncode == 0, done.stderr
    assert f"Making .venv with {house / 'bin' / 'python3.12'}" in done.stdout


def test_make_says_that_there_is_no_python(house: Path) -> None:
    for name in ("python3.11", "python3.12", "python3.13", "python3", "python"):
        fake_python(house / "bin" / name, out_of_range=1)
    done = make(house, "demo")
    assert done.returncode != 0
    assert "Lumilab needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (house / ".venv").exists()


def test_make_refuses_a_python_of_another_version(house: Path) -> None:
    python = fake_python(house / "bin" / "old-python", out_of_range=1)
    done = make(house, "demo", f"PYTHON={python}")
    assert done.returncode != 0
    assert f"{python} cannot be used" in done.stderr


def test_make_says_how_to_get_a_missing_venv_module(house: Path) -> None:
    python = fake_python(house / "bin" / "bare-python", no_venv=1)
    done = make(house, "demo", f"PYTHON={python}")
    assert done.returncode != 0
    assert "sudo apt-get install python3-venv" in done.stderr
    assert not (house / ".venv").exists()


def test_make_help_names_every_target(house: Path) -> None:
    listed = make(house, "help").stdout
    for target in ("demo", "test", "test-all", "lint", "bench", "install", "clean"):
        assert f"make {target} " in listed


def test_make_clean_keeps_the_runs(house: Path) -> None:
    for folder in ("runs/mine", ".venv", "lumilab/__pycache__", "tests", "bench"):
        (house / folder).mkdir(parents=True)
    assert make(house, "clean").returncode == 0
    assert (house / "runs" / "mine").exists()
    assert not (house / ".venv").exists()
    assert not (house / "lumilab" / "__pycache__").exists()
