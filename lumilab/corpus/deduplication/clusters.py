"""From edges to clusters: which documents stay, and a report of what was found.

This is the one step that a single task does, because it needs no text and no hashes: of each document a number, of
each near-duplicate an edge. It takes some ten million edges a second (bench/minhash_recall.py measures it), so that
the 10^8 near-duplicates of a corpus of terabytes cost it minutes at most, after days of reading. Parents, sizes and
verdicts are memory-mapped files of 8, 4 and 1 bytes a document, which the system may page out; of edges it holds STEP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lumilab.corpus.deduplication.exact import REPEATS
from lumilab.corpus.deduplication.places import Integers, Places
from lumilab.corpus.deduplication.verdicts import DUPLICATE, NEAR_DUPLICATE
from lumilab.corpus.segment import Segment
from lumilab.work.stopping import StopRequest

SAMPLES = 10
LARGEST = 5
EXCERPT_CHARACTERS = 300
STEP = 1 << 20
EDGES = "edges.npy"  # what a task that verified pairs leaves: int64 [n, 2], later and earlier place
SIMILARITIES = "similarities.npy"  # float32 [n], of the edges; NaN where they were not compared


@dataclass(frozen=True)
class ClustersOrder:
    """All edges.

    Attributes:
        places: folder of the table of places.
        documents: how many there are.
        repeats: folders of the tasks that looked for exact duplicates.
        edges: folders of the tasks that verified near-duplicates.
    """

    places: Path
    documents: int
    repeats: tuple[Path, ...]
    edges: tuple[Path, ...]


def verdict_file(segment: int) -> str:
    """Where the verdicts of a segment are, by its number in the corpus's order: .npy of uint8 [documents]."""
    return f"verdicts-{segment:06d}.npy"


def join_clusters(order: ClustersOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: writes the verdicts of every segment; the answer is the report (see `DuplicateReport`)."""
    places = Places(order.places)
    parents = _scratch(folder / "parents.npy", order.documents, np.int64)
    sizes = _scratch(folder / "sizes.npy", order.documents, np.uint32)
    verdicts = _scratch(folder / "verdicts.npy", order.documents, np.uint8)
    for first, last in _steps(order.documents):
        parents[first:last] = np.arange(first, last)
    for repeats, _ in _edge_steps(order.repeats, REPEATS, None, stop):
        parents[repeats[:, 0]] = repeats[:, 1]
        verdicts[repeats[:, 0]] = DUPLICATE
    if order.edges:
        _unite_all(parents, order.edges, stop)
    for first, last in _steps(order.documents):
        stop.check()
        if not order.edges:  # the first in a batch may repeat one of an earlier batch, which repeats nobody: two steps
            parents[first:last] = parents[parents[first:last]]
        roots = np.asarray(parents[first:last])
        lost = roots != np.arange(first, last)
        np.add.at(sizes, roots[lost], 1)
        verdicts[first:last][lost & (verdicts[first:last] == 0)] = NEAR_DUPLICATE
    for number, (path, start) in enumerate(zip(places.folders, places.starts.tolist(), strict=True)):
        np.save(folder / verdict_file(number), verdicts[start : start + len(Segment(path))])
    report = {
        "documents": order.documents,
        "duplicates": int(np.count_nonzero(verdicts == DUPLICATE)),
        "near_duplicates": int(np.count_nonzero(verdicts == NEAR_DUPLICATE)),
        **_sizes_report(sizes, places, stop),
        "samples": _samples(order, parents, sizes, places, stop),
    }
    del parents, sizes, verdicts
    for name in ("parents.npy", "sizes.npy", "verdicts.npy"):
        (folder / name).unlink()
    return report


def _scratch(path: Path, length: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    """A zeroed array in a file, which the system can page out; an empty file cannot be mapped."""
    if length == 0:
        np.save(path, np.zeros(0, kind))
        return np.zeros(0, kind)
    return np.lib.format.open_memmap(path, "w+", kind, (length,))


def _unite_all(parents: Integers, folders: Sequence[Path], stop: StopRequest) -> None:
    from lumilab.corpus.deduplication.union_find import flatten, unite

    plain = np.asarray(parents)  # the compiled code knows no memory maps; this is the same memory
    for edges, _ in _edge_steps(folders, EDGES, None, stop):
        unite(plain, edges)
    for first, last in _steps(len(parents)):
        stop.check()
        flatten(plain, first, last)


def _steps(length: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + STEP, length)) for first in range(0, length, STEP))


def _edge_steps(
    folders: Sequence[Path], name: str, similarities: str | None, stop: StopRequest
) -> Iterator[tuple[Integers, npt.NDArray[np.float32]]]:
    """The edges of all folders, STEP at a time, with their similarities: 1 where there is no file of them."""
    for folder in folders:
        edges = np.load(folder / name, mmap_mode="r")
        known = np.load(folder / similarities, mmap_mode="r") if similarities else None
        for first, last in _steps(len(edges)):
            stop.check()
            ones = np.ones(last - first, np.float32)
            yield np.array(edges[first:last]), ones if known is None else np.array(known[first:last])


# --- the report ----------------------------------------------------------------------------------------------------


def _sizes_report(sizes: npt.NDArray[np.uint32], places: Places, stop: StopRequest) -> dict[str, Any]:
    """How many clusters there are of which sizes, in steps of powers of two, and the largest."""
    counts: npt.NDArray[np.int64] = np.zeros(33, np.int64)
    largest: list[tuple[int, int]] = []
    for first, last in _steps(len(sizes)):
        stop.check()
        extra = np.asarray(sizes[first:last])
        roots = np.flatnonzero(extra)
        members = extra[roots].astype(np.int64) + 1
        counts += np.bincount(np.ceil(np.log2(members)).astype(np.int64), minlength=33)
        best = np.lexsort((roots, -members))[:LARGEST]
        largest = sorted([*largest, *zip((-members[best]).tolist(), (roots[best] + first).tolist(), strict=True)])
        del largest[LARGEST:]
    bins = {_bin_name(power): int(count) for power, count in enumerate(counts) if count}
    ids = _documents(places, [place for _, place in largest])
    return {
        "clusters": int(counts.sum()),
        "sizes": bins,
        "largest": [{"size": -size, "id": ids[place]["id"]} for size, place in largest],
    }


def _bin_name(power: int) -> str:
    low, high = (1 << power - 1) + 1, 1 << power
    return str(high) if low == high else f"{low} to {high}"


def _samples(
    order: ClustersOrder, parents: Integers, sizes: npt.NDArray[np.uint32], places: Places, stop: StopRequest
) -> list[dict[str, Any]]:
    """Two members of each of a few clusters, those with near-duplicates first; which ones is decided by a hash."""
    chosen: dict[int, tuple[int, int, int, float]] = {}
    for folders, name, similarities in ((order.edges, EDGES, SIMILARITIES), (order.repeats, REPEATS, None)):
        drawn: dict[int, tuple[int, int, int, float]] = {}
        for edges, similarity in _edge_steps(folders, name, similarities, stop):
            roots = np.asarray(parents[edges[:, 1]])
            draw = _draw(roots)
            ranked = np.lexsort((edges[:, 0], edges[:, 1], roots, draw))
            _, firsts = np.unique(draw[ranked], return_index=True)
            for index in ranked[firsts[:SAMPLES]].tolist():
                later, earlier = edges[index].tolist()
                candidate = (int(draw[index]), earlier, later, float(similarity[index]))
                root = int(roots[index])
                drawn[root] = min(candidate, drawn.get(root, candidate))
            drawn = dict(sorted(drawn.items(), key=lambda item: item[1])[:SAMPLES])
        chosen = {**chosen, **{root: pair for root, pair in drawn.items() if root not in chosen}}
    pairs = list(chosen.items())[:SAMPLES]
    shown = _documents(places, [place for _, (_, *members, _) in pairs for place in members])
    return [
        {
            "size": int(sizes[root]) + 1,
            "similarity": None if np.isnan(similarity) else round(similarity, 4),
            "members": [shown[earlier], shown[later]],
        }
        for root, (_, earlier, later, similarity) in pairs
    ]


def _draw(roots: Integers) -> npt.NDArray[np.uint64]:
    """A hash of each place (the finaliser of splitmix64), by which a sample is drawn."""
    value = roots.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _documents(places: Places, wanted: Sequence[int]) -> dict[int, dict[str, str]]:
    """Id and excerpt of the documents at these places, by place."""
    ascending = sorted(set(wanted))
    found = places.documents(np.array(ascending, np.int64))
    return {
        place: {"id": document.id, "excerpt": document.text[:EXCERPT_CHARACTERS]}
        for place, document in zip(ascending, found, strict=True)
    }
