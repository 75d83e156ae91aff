"""Deduplication of a whole corpus, in phases of independent tasks that no worker needs all of it for.

1. Exact (exact.py): content hashes are scattered by batch and joined by range of the hash; what repeats an earlier text
   is out from here on.
2. Candidates (candidates.py): the band hashes that were made while reading are scattered by batch and joined by band
   and range of the hash; documents that agree on a band make pairs.
3. Verification (verification.py): the exact Jaccard similarity of each pair, by range of the later document.
4. Clusters (clusters.py): union-find over the edges; of each cluster the document with the smallest place stays.

A place is a document's number by its source's priority and then by the corpus's order (places.py), so who stays
depends on nothing else. The numbers of batches, partitions and ranges depend on the number of documents alone. The
layout follows datatrove's MinHash steps (Penedo et al., arXiv:2406.17557, appendix E.1), which cluster without
verifying; on disk it takes 16 bytes a document and band, once, and 24 for the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.corpus.deduplication.clusters import ClustersOrder, join_clusters, verdict_file
from lumilab.corpus.deduplication.exact import (
    BATCH,
    JoinOrder,
    ScatterOrder,
    join_content,
    partition_bounds,
    scatter_content,
)
from lumilab.corpus.deduplication.places import PlacesOrder, Run, batches, order_places, range_of, write_places
from lumilab.corpus.segment import Segment
from lumilab.recipe.corpus import CorpusConfig
from lumilab.work.phases import Done, Phase, Workers

VERIFIED_TOGETHER = 1 << 12  # documents of a verifying task; more where there would be too many tasks
VERIFYING_TASKS = 1024


@dataclass(frozen=True)
class DuplicateReport:
    """What was found.

    Attributes:
        verdicts: for each segment a .npy of uint8 [documents], indices into REASONS; None where nothing was looked for.
        facts: JSON values for the card, empty where nothing was looked for: `documents`, `duplicates`,
            `near_duplicates`; `clusters`, how many of two and more; `sizes`, how many of which sizes; `largest`, size
            and the id of the one that stays; `samples`, size, similarity (None where not compared) and two members
            with id and excerpt. With minhash also `candidates`, pairs that met; `near_pairs`, those that are similar
            enough; `verified_share`, the ones as a share of the others (None where nothing was verified or met);
            `similarities`, candidates in twenty equal steps of similarity from 0 to 1.
    """

    verdicts: list[Path | None]
    facts: dict[str, Any]


def find_duplicates(
    segments: Sequence[Segment], ranks: Sequence[int], config: CorpusConfig, workers: Workers
) -> DuplicateReport:
    """Decides which documents stay.

    Args:
        segments: in the corpus's order; with bands where the configuration says minhash.
        ranks: of each segment; of documents that repeat each other one from the smallest rank stays, and among those
            the first in the corpus's order.
        config: the corpus section.
        workers: who does it.
    """
    lengths = [len(segment) for segment in segments]
    if config.deduplicate == "none" or sum(lengths) == 0:
        return DuplicateReport([None] * len(segments), {})
    order = order_places([segment.folder for segment in segments], lengths, ranks)
    places = workers.run(Phase("places", "Numbering the documents", write_places, [order], [1], unit="tables"))[
        0
    ].folder
    runs = batches(order, lengths, BATCH)
    repeats = _exact(order, runs, workers)
    near: list[Done] = []
    if config.deduplicate == "minhash":
        near = _near(order, runs, places, repeats, config, workers)
    edges = tuple(done.folder for done in near)
    clusters = ClustersOrder(places, order.documents, repeats, edges)
    about = "Joining duplicates in clusters"
    done = workers.run(Phase("clusters", about, join_clusters, [clusters], [order.documents], unit="documents"))[0]
    facts = done.answer | (_facts_of([task.answer for task in near], config) if near else {})
    return DuplicateReport([done.folder / verdict_file(number) for number in range(len(segments))], facts)


def _exact(order: PlacesOrder, runs: Sequence[tuple[Run, ...]], workers: Workers) -> tuple[Path, ...]:
    """The folders of all tasks that found exact duplicates."""
    about = "Looking for equal texts"
    sizes = [_size(batch) for batch in runs]
    scatters = [ScatterOrder(batch) for batch in runs]
    scattered = _folders(workers.run(Phase("content", about, scatter_content, scatters, sizes, unit="documents")))
    joins = [JoinOrder(scattered, first, last) for first, last in partition_bounds(order.documents, BATCH)]
    sizes = [order.documents // len(joins)] * len(joins)
    joined = workers.run(Phase("equal-texts", about, join_content, joins, sizes, unit="documents"))
    return (*scattered, *_folders(joined))


def _near(
    order: PlacesOrder,
    runs: Sequence[tuple[Run, ...]],
    places: Path,
    repeats: tuple[Path, ...],
    config: CorpusConfig,
    workers: Workers,
) -> list[Done]:
    """The tasks that verified candidates."""
    # Compiled code and what compiles it are loaded only where they are used.
    from lumilab.corpus.deduplication.candidates import BandJoinOrder, BandsOrder, join_bands, scatter_bands
    from lumilab.corpus.deduplication.verification import VerifyOrder, verify_pairs

    about = "Looking for similar texts"
    sizes = [_size(batch) for batch in runs]
    scatters = [BandsOrder(batch, config.minhash.bands, repeats) for batch in runs]
    bands = _folders(workers.run(Phase("bands", about, scatter_bands, scatters, sizes, unit="documents")))
    bounds = partition_bounds(order.documents, BATCH)
    joins = [BandJoinOrder(bands, band, *bound) for band in range(config.minhash.bands) for bound in bounds]
    sizes = [order.documents // len(bounds)] * len(joins)
    pairs = _folders(workers.run(Phase("candidates", about, join_bands, joins, sizes, unit="documents")))
    step = max(VERIFIED_TOGETHER, -(-order.documents // VERIFYING_TASKS))
    cuts = range(0, order.documents, step)
    orders = [VerifyOrder(places, pairs, cut, min(cut + step, order.documents), config.minhash) for cut in cuts]
    sizes = [each.last - each.first for each in orders]
    return workers.run(Phase("similar-texts", "Comparing similar texts", verify_pairs, orders, sizes, unit="documents"))


def _facts_of(answers: Sequence[dict[str, Any]], config: CorpusConfig) -> dict[str, Any]:
    candidates = sum(answer["candidates"] for answer in answers)
    edges = sum(answer["edges"] for answer in answers)
    return {
        "candidates": candidates,
        "near_pairs": edges,
        "verified_share": edges / candidates if candidates and config.minhash.verify else None,
        "similarities": [sum(counts) for counts in zip(*(answer["similarities"] for answer in answers), strict=True)],
    }


def _folders(done: Sequence[Done]) -> tuple[Path, ...]:
    return tuple(task.folder for task in done)


def _size(runs: Sequence[Run]) -> int:
    first, last = range_of(runs)
    return last - first
