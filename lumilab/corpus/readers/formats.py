"""Which formats are read, told from the ending of a file's name."""

from __future__ import annotations

from pathlib import PurePosixPath

from lumilab.corpus.compression import SUFFIXES

TEXT = (".txt", ".md", ".tokens")  # the last is WikiText's
HTML = (".html", ".htm")
JSON_LINES = (".jsonl", ".ndjson")
JSON = (".json",)  # one array of rows, or JSON lines, which some datasets (C4) name so
CSV = (".csv", ".tsv")
PARQUET = (".parquet",)  # compressed inside, by columns; never as a whole

READABLE = TEXT + HTML + JSON_LINES + JSON + CSV + PARQUET
ROWS = JSON_LINES + JSON + CSV + PARQUET


def format_of(name: str) -> str | None:
    """The ending that tells how a file is read, in lower case and without that of its compression; None for others."""
    path = PurePosixPath(name.lower())
    compressed = path.suffix in SUFFIXES
    ending = PurePosixPath(path.stem).suffix if compressed else path.suffix
    return ending if ending in READABLE and not (compressed and ending in PARQUET) else None


def is_compressed(name: str) -> bool:
    """Whether the whole file is compressed, so that it can only be read from its beginning."""
    return name.lower().endswith(SUFFIXES)
