"""A plain installation: what needs no library of the extras works, and what does says which to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tiny_pipeline import environment

ABSENT = (
    *("numba", "pyarrow", "lxml", "trafilatura", "resiliparse", "ftfy", "py3langid", "fasttext", "ray"),
    *("transformers", "jinja2", "datatrove", "fastwarc", "mwparserfromhell", "spacy"),
    *("peft", "trl", "datasets", "lm_eval", "sacrebleu", "rouge_score", "fastapi", "gguf", "sentencepiece"),
)
RECIPE = "{extends: quickstart, name: plain, corpus: {sources: [{kind: python, code: false, docstrings: false}]}}"
NEEDS = {
    "corpus.deduplicate=minhash": "numba",
    "corpus.filters.preset=gopher": "numba",
    "corpus.sources=[{kind: wikipedia, paths: [.]}]": "lxml",
    "corpus.sources=[{kind: web, paths: [.]}]": "lxml, trafilatura, resiliparse",
    "corpus.sources=[{kind: files, paths: [a.html]}]": "lxml, trafilatura, resiliparse",
    "corpus.sources=[{kind: files, paths: [a.parquet]}]": "pyarrow",
    "corpus.sources=[{kind: hub, dataset: fineweb}]": "pyarrow",
    "corpus.cleaning.mojibake=true": "ftfy",
    "corpus.decontamination.paths=[a.txt]": "numba",
}
PLANNING = """
import sys
from lumilab.corpus.plan import raw_inventory
from lumilab.errors import ConfigError
from lumilab.recipe import load_recipe
for override in sys.argv[1:]:
    try:
        raw_inventory(load_recipe("recipe.yaml", [override]).recipe.corpus)
    except ConfigError as error:
        print(error)
"""


def plain_python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS` where, in every process, importing what the extras bring fails."""
    hidden = cwd / "hidden"
    hidden.mkdir(exist_ok=True)
    # Python imports this module at its start, also in the processes of stages and workers. None marks a module that
    # is known not to be there.
    (hidden / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n")
    (cwd / "recipe.yaml").write_text(RECIPE)
    for name in ("a.html", "a.parquet", "a.txt"):
        (cwd / name).write_text("x")
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd, env=environment() | {"PYTHONPATH": str(hidden)}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=200, check=False,
    )  # fmt: skip


def test_the_quickstarts_corpus_builds(tmp_path: Path) -> None:
    done = plain_python("-m", "lumilab", "corpus", "build", "recipe.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Reading the sources" in done.stdout
    assert list((tmp_path / "runs").glob("plain/corpus/*/card.html"))


def test_what_needs_more_says_so_before_it_reads_anything(tmp_path: Path) -> None:
    done = plain_python("-c", PLANNING, *NEEDS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"This corpus needs libraries that are not installed: {missing}. Where: corpus. "
        'To mend it: install them with `pip install "lumilab[corpus]"`.'
        for missing in NEEDS.values()
    ]
    command = ("-m", "lumilab", "corpus", "build", "recipe.yaml", "corpus.deduplicate=minhash")
    done = plain_python(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: This corpus needs libraries that are not installed: numba.")
    assert not (tmp_path / "runs").exists()
