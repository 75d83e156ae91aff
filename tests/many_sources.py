"""A corpus of many small sources, so that its build has many tasks, and the recipe for it."""

from __future__ import annotations

import json
import random
from pathlib import Path

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
    """The one corpus of a run."""
    (manifest,) = run.glob("corpus/*/manifest.json")
    return Artifact.open(manifest.parent)
