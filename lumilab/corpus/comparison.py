"""What differs between two corpora: documents by id and by text, sources, settings, raw files.

Each corpus is read once, and of each document two hashes and its number are spilled into partitions by the hash of its
id; then the two sides of one partition after the other meet in memory (the partitioned join of databases: DeWitt et
al., "Implementation techniques for main memory database systems", 1984). Texts meet in the same way, by their own hash.
So memory is that of one partition, whatever the size of the corpora. A second pass fetches examples.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lumilab.artifact import Artifact, raw_files
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.work.context import WorkContext

PARTITION_DOCUMENTS = 1 << 19  # of each corpus, about: 20 MB
BUFFERED = 1 << 16  # records in memory before they are spilled
EXAMPLES = 3
EXCERPT_CHARACTERS = 300

# Two hashes of 16 bytes, which numpy compares as byte strings (it fills these up with zeros, which loses nothing at a
# fixed length), and the document's number in its corpus.
RECORD = np.dtype([("id", "S16"), ("text", "S16"), ("number", "<i8")])
Records = npt.NDArray[np.void]


def compare(
    a: Artifact,
    b: Artifact,
    context: WorkContext,
    limit: int | None = None,
    partition_documents: int = PARTITION_DOCUMENTS,
) -> dict[str, Any]:
    """What a person wants to know of two corpora, as JSON values.

    The keys:
        a, b: digest, and documents, characters and UTF-8 bytes, all together and by source.
        identical: whether the digests are equal, which says that everything else is.
        ids: how many ids are in both with the same text, in both with another text (changed), only in a (removed),
            only in b (added).
        texts: how many documents of a have a text that b does not have (gone), and the other way round (new); and
            how many added ones have a text that a has under another id (moved).
        settings: the values of the configuration that differ, each with its path; one that is not there is left out.
        raw_files: how many were added, removed, changed, by root and name.
        examples: of changed, removed and added documents, always the same ones.

    Args:
        a, b: the corpora.
        context: where to report, and whether to stop.
        limit: compare the first so many documents of each.
        partition_documents: how many of each to hold in memory, about.

    Raises:
        DamageError: a shard of one of them cannot be read.
    """
    documents = max(int(artifact.manifest.statistics.get("documents", 0)) for artifact in (a, b))
    partitions = documents // partition_documents + 1
    with tempfile.TemporaryDirectory(prefix="lumi-diff-") as name:
        join = _Join(Path(name), partitions)
        sides = [_read(artifact, side, join, context, limit) for side, artifact in (("a", a), ("b", b))]
        ids = join.by_id(context)
        texts = join.by_text(context)
    return {
        "a": sides[0],
        "b": sides[1],
        "identical": a.digest == b.digest,
        "ids": ids,
        "texts": texts,
        "settings": differing_settings(a.manifest.config, b.manifest.config),
        "raw_files": _raw_files(a, b),
        "examples": _examples(join, a, b),
    }


def _read(artifact: Artifact, side: str, join: _Join, context: WorkContext, limit: int | None) -> dict[str, Any]:
    """Reads one corpus into the join; counts its documents, characters and bytes."""
    sources: dict[str, dict[str, int]] = {}
    rows: list[tuple[bytes, bytes, int]] = []
    total = artifact.manifest.statistics.get("documents")
    with context.report.task(f"Reading {side.upper()}", limit or total, "documents", worth_a_line=2.0) as task:
        for number, document in enumerate(islice(read_documents(artifact), limit)):
            context.stop.check()
            data = document.text.encode()
            rows.append((_hash(document.id.encode()), _hash(data), number))
            counts = sources.setdefault(document.source, {"documents": 0, "characters": 0, "bytes": 0})
            counts["documents"] += 1
            counts["characters"] += len(document.text)
            counts["bytes"] += len(data)
            if len(rows) >= BUFFERED:
                join.add(side, rows)
                rows = []
            task.advance()
    join.add(side, rows)
    totals = {key: sum(counts[key] for counts in sources.values()) for key in ("documents", "characters", "bytes")}
    return {"digest": artifact.digest, **totals, "sources": dict(sorted(sources.items()))}


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


class _Spill:
    """Records on disk, parted by one of their hashes."""

    def __init__(self, folder: Path, name: str, key: str, partitions: int) -> None:
        self._folder, self._name, self._key, self._partitions = folder, name, key, partitions

    def add(self, records: Records) -> None:
        """Appends each record to its partition."""
        keys = np.ascontiguousarray(records[self._key]).view("<u4").reshape(-1, 4)[:, 0] % self._partitions
        for partition in np.unique(keys).tolist():
            with self._path(partition).open("ab") as file:
                file.write(records[keys == partition].tobytes())

    def load(self, partition: int) -> Records:
        """The records of one partition, in the order they came."""
        path = self._path(partition)
        return np.fromfile(path, RECORD) if path.exists() else np.empty(0, RECORD)

    def _path(self, partition: int) -> Path:
        return self._folder / f"{self._name}-{partition:05d}"


class _Join:
    """The documents of both corpora, met by id and by text.

    Attributes:
        shown: for each kind of difference the examples, as (hash of the id, number in a or -1, number in b or -1).
    """

    def __init__(self, folder: Path, partitions: int) -> None:
        self._partitions = partitions
        self._ids = {side: _Spill(folder, f"ids-{side}", "id", partitions) for side in ("a", "b")}
        self._texts = {side: _Spill(folder, f"texts-{side}", "text", partitions) for side in ("a", "b")}
        self._added = _Spill(folder, "added", "text", partitions)
        self.shown: dict[str, list[tuple[bytes, int, int]]] = {"changed": [], "removed": [], "added": []}

    def add(self, side: str, rows: list[tuple[bytes, bytes, int]]) -> None:
        """Takes in documents of one corpus: (hash of the id, hash of the text, number)."""
        records = np.array(rows, RECORD)
        self._ids[side].add(records)
        self._texts[side].add(records)

    def by_id(self, context: WorkContext) -> dict[str, int]:
        """Counts ids by where they are and whether their text is the same; remembers what was added, and examples."""
        counts = {"same": 0, "changed": 0, "removed": 0, "added": 0}
        for partition in range(self._partitions):
            context.stop.check()
            a, b = self._ids["a"].load(partition), self._ids["b"].load(partition)
            _, in_a, in_b = np.intersect1d(a["id"], b["id"], assume_unique=True, return_indices=True)
            differs = a["text"][in_a] != b["text"][in_b]
            removed, added = np.delete(a, in_a), np.delete(b, in_b)
            counts["same"] += int((~differs).sum())
            counts["changed"] += int(differs.sum())
            counts["removed"] += len(removed)
            counts["added"] += len(added)
            self._added.add(added)
            old, new = a[in_a[differs]], b[in_b[differs]]
            self._show("changed", zip(old["id"].tolist(), old["number"].tolist(), new["number"].tolist(), strict=True))
            self._show("removed", ((row["id"], int(row["number"]), -1) for row in _smallest(removed)))
            self._show("added", ((row["id"], -1, int(row["number"])) for row in _smallest(added)))
        return counts

    def _show(self, kind: str, more: Iterable[tuple[bytes, int, int]]) -> None:
        self.shown[kind] = sorted([*self.shown[kind], *more])[:EXAMPLES]

    def by_text(self, context: WorkContext) -> dict[str, int]:
        """Counts documents whose text the other corpus does not have, and added ones whose text it has."""
        counts = {"gone": 0, "new": 0, "moved": 0}
        for partition in range(self._partitions):
            context.stop.check()
            a, b = (self._texts[side].load(partition)["text"] for side in ("a", "b"))
            counts["gone"] += int((~np.isin(a, b)).sum())
            counts["new"] += int((~np.isin(b, a)).sum())
            counts["moved"] += int(np.isin(self._added.load(partition)["text"], a).sum())
        return counts


def _smallest(records: Records) -> Records:
    """The few with the smallest hashes of ids: a uniform choice that does not depend on the partitions."""
    return records[np.argsort(records["id"])[:EXAMPLES]]


def _examples(join: _Join, a: Artifact, b: Artifact) -> dict[str, list[dict[str, Any]]]:
    rows = [row for shown in join.shown.values() for row in shown]
    before = _fetch(a, {number for _, number, _ in rows if number >= 0})
    after = _fetch(b, {number for _, _, number in rows if number >= 0})
    return {
        kind: [_example(before.get(old), after.get(new)) for _, old, new in shown] for kind, shown in join.shown.items()
    }


def _fetch(artifact: Artifact, numbers: set[int]) -> dict[int, Document]:
    """The documents of these numbers; reads up to the last of them."""
    documents = islice(read_documents(artifact), max(numbers, default=-1) + 1)
    return {number: document for number, document in enumerate(documents) if number in numbers}


def _example(before: Document | None, after: Document | None) -> dict[str, Any]:
    either = before or after
    assert either is not None, "an example is a document of one corpus or of both"
    example: dict[str, Any] = {"id": either.id}
    for key, document, other in (("a", before, after), ("b", after, before)):
        if document is not None:
            first = _first_difference(document.text, other.text) if other is not None else 0
            first = max(first - EXCERPT_CHARACTERS // 4, 0)
            excerpt = document.text[first : first + EXCERPT_CHARACTERS]
            example[key] = {"characters": len(document.text), "from": first, "excerpt": excerpt}
    return example


def _first_difference(one: str, other: str) -> int:
    """How many characters both texts begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


def differing_settings(a: Any, b: Any, path: str = "") -> list[dict[str, Any]]:
    """The values that differ between two configurations, each with the path that leads to it.

    A section that only one of them has is one value, not as many as there are in it.
    """
    if isinstance(a, list) and isinstance(b, list):
        a, b = ({str(index): value for index, value in enumerate(values)} for values in (a, b))
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [] if a == b else [{"setting": path, "a": a, "b": b}]
    differing = []
    for key in sorted(a.keys() | b.keys()):
        here = f"{path}.{key}" if path else key
        if key in a and key in b:
            differing += differing_settings(a[key], b[key], here)
        else:
            differing.append({"setting": here, **({"a": a[key]} if key in a else {"b": b[key]})})
    return differing


def _raw_files(a: Artifact, b: Artifact) -> dict[str, int]:
    before, after = ({(file.root, file.name): file.sha256 for file in raw_files(artifact)} for artifact in (a, b))
    both = before.keys() & after.keys()
    return {
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
        "changed": sum(before[key] != after[key] for key in both),
    }
