"""The recipe's corpus section: where text comes from and what is done to it.

Each field says in one line what it is. The quality filters have their own page, `recipe/filters.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lumilab.recipe.filters import FiltersConfig
from lumilab.recipe.section import Count, Section, Share, runtime, setting

_PATHS = "files, folders or globs; relative paths start at the recipe's folder"
_NAME = "name written into each document"
_LICENCE = "licence of the text, for the card; null where it is not known"
_PRIORITY = "of two duplicates the one from the source with the smaller number stays; equal ones by order"


class PythonSource(Section):
    """Text that every Python installation carries; needs no network."""

    kind: Literal["python"] = setting("python", "the running interpreter's own library")
    name: str = setting("python", _NAME)
    priority: int = setting(0, _PRIORITY)
    licence: str | None = setting("PSF-2.0", _LICENCE)
    documentation: bool = setting(True, "the language reference that `help()` shows (pydoc topics)")
    docstrings: bool = setting(True, "docstrings of modules, classes and functions, also of compiled modules")
    code: bool = setting(True, "the library's source files, without its tests")


class FilesSource(Section):
    """Documents in files on this machine."""

    kind: Literal["files"] = setting(
        "files",
        "local files: .txt, .md, .tokens, .html, .htm, .jsonl, .ndjson, .json, .csv, .tsv, .parquet; all but the last "
        "also with .gz, .zst, .bz2, .xz behind",
    )
    name: str = setting("files", _NAME)
    priority: int = setting(0, _PRIORITY)
    licence: str | None = setting(None, _LICENCE)
    paths: list[str] = setting(..., _PATHS, min_length=1)
    text_field: str = setting("text", "which JSON field or column holds the text")


class WikipediaSource(Section):
    """Wikipedia articles in any of the four shapes in which they are published."""

    kind: Literal["wikipedia"] = setting(
        "wikipedia", "XML dumps, Enterprise JSON lines (wikitext, HTML or structured), wikimedia/wikipedia parquet"
    )
    name: str = setting("wikipedia", _NAME)
    priority: int = setting(0, _PRIORITY)
    licence: str | None = setting("CC BY-SA 4.0", _LICENCE)
    paths: list[str] = setting(..., _PATHS, min_length=1)


class WebSource(Section):
    """Web pages, reduced to their main text."""

    kind: Literal["web"] = setting("web", "Common Crawl's .warc and .wet, also with .gz, .zst behind")
    name: str = setting("web", _NAME)
    priority: int = setting(0, _PRIORITY)
    licence: str | None = setting(None, _LICENCE)
    paths: list[str] = setting(..., _PATHS, min_length=1)


class HubSource(Section):
    """A dataset of the Hugging Face hub, streamed or downloaded before."""

    kind: Literal["hub"] = setting("hub", "a dataset's parquet or JSON-lines files on the hub")
    name: str = setting("hub", _NAME)
    priority: int = setting(0, _PRIORITY)
    licence: str | None = setting(None, _LICENCE)
    dataset: str = setting(..., "a name of `lumi corpus download --list`, or any repository as OWNER/NAME")
    subset: str | None = setting(None, "which of the dataset's configurations; null for its usual one")
    revision: str = setting("main", "branch, tag or commit; the commit it stands for is what is recorded")
    text_field: str | None = setting(None, "which column holds the text; null for the dataset's own")
    folder: str | None = runtime(None, "read what `lumi corpus download` put here; null to stream from the hub")


Source = Annotated[PythonSource | FilesSource | WikipediaSource | WebSource | HubSource, Field(discriminator="kind")]


class CleaningConfig(Section):
    """What is done to every document's text."""

    unicode_nfc: bool = setting(True, "compose characters the one standard way (Unicode NFC)")
    control_characters: bool = setting(True, "remove control characters other than newline and tab")
    trailing_space: bool = setting(True, "remove spaces at line ends and more than two empty lines in a row")
    mojibake: bool = setting(False, "mend text that was decoded with the wrong encoding (ftfy)")
    emails: bool = setting(False, "replace e-mail addresses by email@example.com (PII)")
    ip_addresses: bool = setting(False, "replace public IP addresses by reserved ones (PII)")


class MinHashConfig(Section):
    """Finding near-duplicates by MinHash signatures in bands (Leskovec et al., Mining of Massive Datasets, ch. 3)."""

    words: Count = setting(5, "words in a shingle")
    bands: Count = setting(14, "bands of the signature; two documents meet if they agree on one of them")
    rows: Count = setting(8, "hashes in each band; meeting has probability 1 - (1 - s^rows)^bands at similarity s")
    verify: bool = setting(True, "compare the shingles of documents that meet, and go by their true similarity")
    similarity: float = setting(0.7, "from this Jaccard similarity on, a document is a duplicate", gt=0, le=1)
    seed: int = setting(1, "of the hash functions", ge=0)


class DecontaminationConfig(Section):
    """Documents that hold pieces of evaluation sets are dropped."""

    paths: list[str] = setting(
        ..., _PATHS + ": .jsonl, .json, .csv, .parquet, .txt of the evaluation sets", min_length=1
    )
    words: Count = setting(13, "words in a row that count as a piece")
    share: Share = setting(0.0, "a document is dropped when more than this share of its pieces is found")


class CorpusConfig(Section):
    """Raw sources to clean, filtered, deduplicated documents."""

    sources: list[Source] = setting(..., "where the text comes from", min_length=1)
    cleaning: CleaningConfig = setting(CleaningConfig(), "what is done to every document's text")
    filters: FiltersConfig = setting(FiltersConfig(), "which documents are good enough")
    deduplicate: Literal["exact", "minhash", "none"] = setting(
        "exact", "drop documents whose text was seen before: the same text, or with minhash also nearly the same"
    )
    minhash: MinHashConfig = setting(MinHashConfig(), "how near-duplicates are found")
    decontamination: DecontaminationConfig | None = setting(None, "drop what evaluation sets hold; null for nothing")
    min_characters: int = setting(40, "shorter documents are dropped", ge=0)
    limit: int | None = setting(None, "stop after this many raw documents of each source (for trials)", ge=1)
    max_bad_share: Share = runtime(0.01, "fail when more than this share of the raw records cannot be read")
    shard_documents: Count = setting(20_000, "documents in each output file")
    workers: int | None = runtime(None, "processes at work; null for one per core", ge=1)
    executor: Literal["local", "ray"] = runtime("local", "where they run: on this machine, or on a Ray cluster")
