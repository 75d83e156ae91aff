from __future__ import annotations

import csv
import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from word_reference import shingles_of, words_of

from lumilab.corpus.decontamination import SHORTEST, Contamination
from lumilab.corpus.evaluation_sets import ContaminationOrder, evaluation_files, gather_contamination
from lumilab.errors import InputError
from lumilab.recipe.corpus import DecontaminationConfig
from lumilab.work.stopping import StopRequest

Pieces = dict[tuple[str, ...], str]
LONG = "the old lighthouse keeper counted seven ships beyond the reef before the storm reached him at dawn"
SHORT = "which planet has the most known moons today"  # 8 words


def _brute_force(items: list[tuple[str, str]], words: int) -> Pieces:
    """Every piece with its set, the first that holds it."""
    pieces: Pieces = {}
    for name, item in items:
        count = len(words_of(item))
        if count >= min(words, SHORTEST):
            for piece in shingles_of(item, min(words, count)):
                pieces.setdefault(piece, name)
    return pieces


def _expected(pieces: Pieces, text: str, words: int) -> tuple[float, Counter[str]]:
    lengths = {len(piece) for piece in pieces} | {words}
    runs = [piece for length in lengths for piece in shingles_of(text, length)]
    found = Counter(pieces[piece] for piece in runs if piece in pieces)
    return min(1.0, found.total() / max(1, len(shingles_of(text, words)))), found


def _jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("words", [5, 8, 13])
def test_shares_are_those_of_sets_of_tuples(shared_data: Path, tmp_path: Path, words: int) -> None:
    draw = random.Random(words)
    items: list[tuple[str, str]] = []
    paths = []
    for name in ("hellaswag/hellaswag_val", "boolq/boolq_dev"):
        rows = [json.loads(line) for line in (shared_data / f"{name}.jsonl").read_text().splitlines()[:150]]
        path = tmp_path / f"{Path(name).name}.jsonl"
        paths.append(_jsonl(path, rows))
        items += [(path.stem, text) for row in rows for text in _texts(row)]
    known = _brute_force(items, words)
    contamination = Contamination.build(paths, words)
    assert sum(contamination.counts().values()) == len(known)
    clean = [json.loads(line)["text"] for line in (shared_data / "c4-sample" / "c4.jsonl").read_text().splitlines()]
    seen = 0
    for text in clean[:60]:
        planted = text + " " + draw.choice(items)[1] if draw.random() < 0.7 else text
        share, found = _expected(known, planted, words)
        hit = contamination.hits(planted.encode())
        assert hit.share == pytest.approx(share)
        assert (found[hit.name] == max(found.values())) if found else hit.name == ""
        seen += bool(found)
    assert seen > 10


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in parts for text in _texts(part)]


def test_every_format_is_read(tmp_path: Path) -> None:
    rows = [{"question": LONG, "choices": {"text": ["a", SHORT]}, "n": 3}]
    _jsonl(tmp_path / "lines.jsonl", rows)
    (tmp_path / "array.json").write_text(json.dumps(rows))
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write(json.dumps(rows[0]) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "columns.parquet")
    with (tmp_path / "table.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["question", "answer"], [LONG, SHORT]])
    (tmp_path / "plain.txt").write_text(LONG)
    for path in sorted(tmp_path.iterdir()):
        contamination = Contamination.build([str(path)], 13)
        assert contamination.hits(f"He wrote: {LONG.upper()}!".encode()).name == path.name.split(".")[0]
        expected = len(words_of(LONG)) - 12 + (path.suffix != ".txt")
        assert contamination.counts() == {path.name.split(".")[0]: expected}


def test_short_items_count_as_a_whole(tmp_path: Path) -> None:
    seven = " ".join(SHORT.split()[:7])
    contamination = Contamination.build([_jsonl(tmp_path / "set.jsonl", [SHORT, seven, LONG])], 13)
    around = "filler " * 20
    assert contamination.hits(f"{around}{SHORT} {around}".encode()).share == pytest.approx(1 / (48 - 12))
    assert contamination.hits(SHORT.encode()).share == 1.0  # though it is too short for a piece of its own
    assert contamination.hits(f"{around}{seven} {around}".encode()).share == 0.0
    assert contamination.hits(b"").share == 0.0


def test_the_set_with_most_pieces_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    first = _jsonl(tmp_path / "first.jsonl", [" ".join(LONG.split()[:13])])
    _jsonl(tmp_path / "folder" / "a.jsonl", [LONG])
    _jsonl(tmp_path / "folder" / "b.jsonl", [SHORT])
    contamination = Contamination.build([first, str(tmp_path / "folder")], 13)
    assert contamination.counts() == {"first": 1, "folder": 5}
    assert contamination.hits(LONG.encode()).name == "folder"
    assert contamination.hits(" ".join(LONG.split()[:13]).encode()).name == "first"


def test_saved_and_loaded(tmp_path: Path) -> None:
    config = DecontaminationConfig(paths=[_jsonl(tmp_path / "set.jsonl", [LONG, SHORT])])
    assert [file.name for file in evaluation_files(config)] == ["set.jsonl"]
    answer = gather_contamination(ContaminationOrder(config), tmp_path, StopRequest())
    assert answer == {"pieces": {"set": len(words_of(LONG)) - 12 + 1}}
    built, loaded = Contamination.build(config.paths, config.words), Contamination.load(tmp_path)
    for text in (
        LONG,
        SHORT,
        f"{SHORT} {LONG}",
        "nothing of the kind is in here at all, as anyone can see for himself",
    ):
        assert loaded.hits(text.encode()) == built.hits(text.encode())


@pytest.mark.parametrize(
    ("content", "what"),
    [("{broken\n", "cannot be read: not valid JSON"), ('["too short"]\n', "hold no text of 8 words or more")],
)
def test_what_cannot_be_used_is_an_error(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=what) as caught:
        Contamination.build([str(path)], 13)
    assert str(path) in str(caught.value.where)
