"""A corpus built by several processes and killed with SIGKILL at random moments ends in the very same bytes."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from tiny_pipeline import kill_tree, lumi, start_lumi

from lumilab.artifact import Artifact

FILES = 24


def write_sources(folder: Path) -> Path:
    """Files of documents of which some are equal, some nearly so and some unreadable, and a recipe for them."""
    draw = random.Random(11)
    words = [f"word{number}" for number in range(3000)]
    known: list[str] = []
    (folder / "texts").mkdir(parents=True)
    for number in range(FILES):
        lines = []
        for _ in range(120):
            text = " ".join(draw.choices(words, k=120))
            if known and draw.random() < 0.2:
                text = draw.choice(known)
                if draw.random() < 0.5:
                    text += " changed at the end"
            known.append(text)
            lines.append(json.dumps({"text": text}) if draw.random() > 0.003 else "{broken")
        (folder / "texts" / f"{number:03d}.jsonl").write_text("\n".join(lines))
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "extends: tiny\nname: chaos\ncorpus:\n  deduplicate: minhash\n  shard_documents: 200\n  workers: 2\n"
        "  sources:\n"
        + "".join(
            f"    - kind: files\n      name: s{number}\n      paths: [texts/{number:03d}.jsonl]\n"
            for number in range(FILES)
        )
    )
    return recipe


def corpus_of(run: Path) -> Artifact:
    (manifest,) = run.glob("corpus/*/manifest.json")
    return Artifact.open(manifest.parent)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.long)])
def test_killed_again_and_again_the_corpus_is_the_same(tmp_path: Path, kills: int) -> None:
    recipe = write_sources(tmp_path)
    started = time.monotonic()
    lumi("corpus", "build", recipe, "corpus.workers=1", "--out", tmp_path / "whole", cwd=tmp_path, check=0)
    seconds = time.monotonic() - started
    expected = corpus_of(tmp_path / "whole").digest
    draw, run, killed = random.Random(kills), tmp_path / "run-0", 0
    while killed < kills:
        process = start_lumi("corpus", "build", recipe, "--out", run, cwd=tmp_path)
        time.sleep(draw.uniform(0.1, 0.9) * seconds)
        if process.poll() is None:
            kill_tree(process.pid)
            killed += 1
        else:
            assert process.returncode == 0, process.communicate()[0]
            assert corpus_of(run).digest == expected
            run = tmp_path / f"run-{killed}"
        process.communicate()
    lumi("corpus", "build", recipe, "--out", run, cwd=tmp_path, check=0)
    assert corpus_of(run).digest == expected
    assert list(corpus_of(run).problems()) == []
    assert [path.name for path in (run / "corpus").iterdir() if path.is_dir()] == [corpus_of(run).path.name]
