"""A build over raw files of which one record in a hundred is damaged, each in another way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard
from command_line import lumi
from many_sources import corpus_of

GOOD = 500  # documents of each large file
RECIPE = """\
extends: tiny
name: damaged
corpus:
  min_characters: 10
  deduplicate: none
  max_bad_share: {share}
  sources:
    - {{kind: files, name: texts, paths: [texts]}}
"""


def line(number: int) -> bytes:
    return json.dumps({"text": f"Document {number} is whole, and says so in a sentence."}).encode()


def write_texts(folder: Path) -> set[tuple[str, int | None]]:
    """Writes the raw files; returns where the damaged records are."""
    folder.mkdir()
    damaged = {
        "syntax.jsonl": (70, b'{"text": "a line that was cut o'),
        "encoding.jsonl": (3, b'{"text": "\xff\xfe is no UTF-8"}'),
        "type.jsonl": (250, b'{"text": ["not", "a", "string"]}'),
        "field.jsonl": (499, b'{"title": "no text"}'),
        "object.jsonl": (1, b'"a bare string"'),
        "long.jsonl": (100, b'{"text": "' + b"x" * 50_000_000),  # and no end
    }
    places: set[tuple[str, int | None]] = set()
    for number, (name, (place, record)) in enumerate(damaged.items()):
        lines = [line(GOOD * number + index) for index in range(GOOD)]
        lines[place - 1 : place - 1] = [record]
        (folder / name).write_bytes(b"\n".join(lines) + b"\n")
        places.add((name, place))
    whole = zstandard.ZstdCompressor(write_checksum=True).compress(b"\n".join(map(line, range(9_000, 9_000 + GOOD))))
    (folder / "cut.jsonl.zst").write_bytes(whole[: len(whole) // 2])
    (folder / "nothing.jsonl").write_bytes(b"")
    return places | {("nothing.jsonl", None)}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[tuple[str, int | None]]]:
    folder = tmp_path_factory.mktemp("damaged")
    return folder, write_texts(folder / "texts")


def test_exactly_the_damaged_records_are_quarantined_and_told(
    texts: tuple[Path, set[tuple[str, int | None]]],
) -> None:
    folder, places = texts
    (folder / "recipe.yaml").write_text(RECIPE.format(share=0.01))
    done = lumi("corpus", "build", "recipe.yaml", "--out", "run", cwd=folder, check=0)
    corpus = corpus_of(folder / "run")
    quarantined = [json.loads(row) for row in corpus.file("quarantine.jsonl").read_text().splitlines()]
    of_lines = {(row["file"], row["line"]) for row in quarantined if row["file"] != "cut.jsonl.zst"}
    assert of_lines == places and len(quarantined) == len(places) + 1
    (cut,) = [row for row in quarantined if row["file"] == "cut.jsonl.zst"]
    assert cut["reason"] == "damaged compression"
    # What came before the cut is kept.
    statistics = corpus.manifest.statistics
    before_the_cut = 0 if cut["line"] is None else cut["line"] - 1
    assert statistics["documents"] == (len(places) - 1) * GOOD + before_the_cut
    assert statistics["read"] == statistics["documents"] + len(quarantined)
    assert f"{len(quarantined)} records could not be read" in done.stdout + done.stderr
    assert "quarantine.jsonl" in done.stdout + done.stderr


def test_above_the_share_nothing_is_published(texts: tuple[Path, set[tuple[str, int | None]]]) -> None:
    folder, _ = texts
    (folder / "strict.yaml").write_text(RECIPE.format(share=0.0001))
    done = lumi("corpus", "build", "strict.yaml", "--out", "strict", cwd=folder, check=3)
    assert "max_bad_share" in done.stderr and "Traceback" not in done.stderr
    assert not list((folder / "strict").rglob("manifest.json"))
