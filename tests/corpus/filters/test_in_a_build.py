"""Filters within a build: what they drop is counted and shown by the card, what they change is in the shards."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.corpus.build import build_corpus
from lumilab.corpus.shards import read_documents
from lumilab.recipe.corpus import CorpusConfig

GOOD = [
    f"The river number {number} runs to the sea, and people have lived with it for long.\n"
    f"Boats of {number} kinds go up and down. What do they carry? Salt, wood and grain!\n"
    "Share this page\n"
    f"That is all there is to say of river {number} [1]. It is enough."
    for number in range(5)
]
BRACKETS = [f"{text} It is {{ here." for text in GOOD[:3]]
SHORT = [f"Note {number}" for number in range(14)]


def built(tmp_path: Path, texts: list[str], **filters: object) -> Artifact:
    records = [json.dumps({"text": text, "id": str(number)}) for number, text in enumerate(texts)]
    raw = tmp_path / "raw.jsonl"
    raw.write_text("\n".join(records) + "\n", encoding="utf-8")
    config = {"sources": [{"kind": "files", "name": "raw", "paths": [str(raw)]}], "min_characters": 1}
    corpus = build_corpus(
        CorpusConfig.model_validate(config | {"filters": filters}), tmp_path / "corpus", quiet_context()[0]
    )
    assert corpus is not None
    return corpus


def test_counts_samples_and_changed_texts(tmp_path: Path) -> None:
    texts = [*GOOD, *BRACKETS, *SHORT]
    corpus = built(tmp_path, texts, c4={"min_sentences": 3}, length={"min_words": 5})

    kept = [document.text for document in read_documents(corpus)]
    assert kept == [text.replace("Share this page\n", "").replace(" [1]", " ") for text in GOOD]
    assert corpus.manifest.statistics["dropped"] == {"length: too few words": 14, "c4: curly bracket": 3}

    card = json.loads(corpus.file("card.json").read_text(encoding="utf-8"))
    assert {reason: facts["count"] for reason, facts in card["dropped"].items()} == {
        "length: too few words": 14,
        "c4: curly bracket": 3,
    }
    samples = {reason: facts["samples"] for reason, facts in card["dropped"].items()}
    short = [sample["excerpt"] for sample in samples["length: too few words"]]
    assert len(short) == 10
    assert set(short) < set(SHORT)
    # Samples show the text as it was, with the line that C4's rules would have taken out.
    assert {sample["excerpt"] for sample in samples["c4: curly bracket"]} == set(BRACKETS)
    shown = corpus.file("CARD.md").read_text(encoding="utf-8")
    assert "length: too few words" in shown
    assert "c4: curly bracket" in shown


def test_a_threshold_changes_what_is_left(tmp_path: Path) -> None:
    texts = [*GOOD, *SHORT]
    few = built(tmp_path, texts, length={"min_words": 5})
    assert few.manifest.statistics["dropped"] == {"length: too few words": 14}
    all_of_them = built(tmp_path, texts, length={"min_words": 2})
    assert all_of_them.manifest.statistics["dropped"] == {}
    assert all_of_them.manifest.digest != few.manifest.digest
