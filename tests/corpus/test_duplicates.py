from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from dedup_corpus import config_of, deduplicate
from hypothesis import given, settings
from hypothesis import strategies as st
from word_reference import shingles_of

from lumilab.corpus.deduplication import REASONS, duplicates, verification
from lumilab.corpus.deduplication.candidates import PAIRS, SMALL, pairs_of
from lumilab.corpus.deduplication.clusters import EDGES
from lumilab.corpus.deduplication.union_find import flatten, unite

Pairs = set[tuple[int, int]]


def _vocabulary(size: int = 2000) -> list[str]:
    draw = random.Random(5)
    return ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(size)]


def _with_copies(articles: int, copies: int, seed: int) -> list[str]:
    """Texts of random words, each followed by copies with some words replaced, in a mixed order, none twice."""
    draw, words = random.Random(seed), _vocabulary()
    texts = []
    for _ in range(articles):
        base = draw.choices(words, k=draw.randint(40, 120))
        texts.append(" ".join(base))
        for _ in range(copies):
            rate = draw.uniform(0.0, 0.12)
            texts.append(" ".join(draw.choice(words) if draw.random() < rate else word for word in base))
    texts = list(dict.fromkeys(texts))
    draw.shuffle(texts)
    return texts


def _cut(texts: Sequence[str], sizes: Sequence[int]) -> list[list[str]]:
    groups, first = [], 0
    for size in sizes:
        groups.append(list(texts[first : first + size]))
        first += size
    return [*groups, list(texts[first:])]


def _similarities(texts: Sequence[str]) -> dict[tuple[int, int], float]:
    sets = [set(shingles_of(text, 5)) for text in texts]
    return {(b, a): len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in combinations(range(len(texts)), 2)}


def _rows(folder: Path, name: str) -> Pairs:
    return {(later, earlier) for path in folder.rglob(name) for later, earlier in np.load(path).tolist()}


def _clusters(count: int, edges: Pairs) -> list[set[int]]:
    """Connected components, by flooding."""
    beside = defaultdict(set)
    for b, a in edges:
        beside[a].add(b)
        beside[b].add(a)
    left, found = set(range(count)), []
    while left:
        reached, border = set(), {min(left)}
        while border:
            reached |= border
            border = {far for near in border for far in beside[near]} - reached
        found.append(reached)
        left -= reached
    return found


# --- near duplicates -------------------------------------------------------------------------------------------------


def test_found_as_theory_says_and_verified_as_brute_force_says(tmp_path: Path) -> None:
    texts = _with_copies(110, 3, seed=1)
    similarities = _similarities(texts)
    verdicts, report, _ = deduplicate(tmp_path, [texts], config_of())
    candidates, edges = _rows(tmp_path, PAIRS), _rows(tmp_path, EDGES)
    for low, high in ((0.0, 0.3), (0.3, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.01)):
        inside = {pair: s for pair, s in similarities.items() if low <= s < high}
        chances = [1 - (1 - s**8) ** 14 for s in inside.values()]
        error = math.sqrt(sum(chance * (1 - chance) for chance in chances))
        assert abs(len(inside.keys() & candidates) - sum(chances)) <= 4 * error + 1
    assert edges == {pair for pair in candidates if similarities[pair] >= 0.7}  # precision 1, and nothing lost
    staying = {min(cluster) for cluster in _clusters(len(texts), edges)}
    assert {number for number, verdict in enumerate(verdicts[0]) if verdict == 0} == staying
    facts = report.facts
    assert (facts["candidates"], facts["near_pairs"]) == (len(candidates), len(edges))
    assert facts["verified_share"] == len(edges) / len(candidates)
    assert sum(facts["similarities"]) == len(candidates)
    for sample in facts["samples"]:
        a, b = (int(member["id"].split(":")[2]) for member in sample["members"])
        assert sample["similarity"] == pytest.approx(similarities[b, a], abs=1e-4)
        assert sample["members"][0]["excerpt"] == texts[a][:300]


def test_without_verifying_every_candidate_counts(tmp_path: Path) -> None:
    texts = _with_copies(40, 3, seed=2)
    verdicts, report, _ = deduplicate(tmp_path, [texts], config_of(verify=False))
    clusters = _clusters(len(texts), _rows(tmp_path, PAIRS))
    assert verdicts[0].count(0) == len(clusters)
    assert report.facts["verified_share"] is None
    assert report.facts["samples"][0]["similarity"] is None


def test_cutting_and_order_of_work_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(4)
    texts = _with_copies(30, 3, seed=3)
    texts = [draw.choice(texts) if draw.random() < 0.2 else text for text in texts]  # exact duplicates too
    whole, first_report, _ = deduplicate(tmp_path / "whole", [texts], config_of())
    monkeypatch.setattr(duplicates, "BATCH", 17)
    monkeypatch.setattr(duplicates, "VERIFIED_TOGETHER", 13)
    monkeypatch.setattr(verification, "BLOCK", 5)
    monkeypatch.setattr(verification, "STEP", 3)
    monkeypatch.setattr(verification, "CACHE_BYTES", 4000)
    groups = _cut(texts, (1, 0, 23, 2, 31))
    cut, report, workers = deduplicate(tmp_path / "cut", groups, config_of(), backwards=True)
    assert [verdict for group in cut for verdict in group] == whole[0]
    assert min(workers.tasks[name] for name in ("content", "equal-texts", "bands", "similar-texts")) > 1
    unnamed = [{**facts, "samples": None, "largest": None} for facts in (report.facts, first_report.facts)]
    assert unnamed[0] == unnamed[1]
    shown = [[sample["members"][0]["excerpt"] for sample in facts["samples"]] for facts in (report.facts,
             first_report.facts)]  # fmt: skip
    assert shown[0] == shown[1]


def test_doing_it_again_finds_nothing(tmp_path: Path) -> None:
    texts = _with_copies(40, 3, seed=6) * 2
    verdicts, _, _ = deduplicate(tmp_path / "once", [texts], config_of())
    left = [text for text, verdict in zip(texts, verdicts[0], strict=True) if verdict == 0]
    assert 0 < len(left) < len(texts)
    again, report, _ = deduplicate(tmp_path / "again", [left], config_of())
    assert set(again[0]) == {0}
    assert report.facts["clusters"] == 0


def test_the_first_of_the_smallest_rank_stays(tmp_path: Path) -> None:
    base = " ".join(_vocabulary()[:100])
    near = base + " and one more"
    verdicts, report, _ = deduplicate(tmp_path, [[base, near], [near, base], [base, near]], config_of(), [2, 1, 1])
    assert verdicts == [[1, 1], [0, 2], [1, 1]]
    assert [REASONS[verdict] for verdict in (1, 2)] == ["duplicate", "near duplicate"]
    assert report.facts["largest"] == [{"size": 6, "id": "s:1:0"}]
    assert report.facts["sizes"] == {"5 to 8": 1}


def test_likeness_goes_from_one_to_the_next(tmp_path: Path) -> None:
    """The ends of a chain are less alike than asked for and still one cluster (single linkage)."""
    words = _vocabulary()
    chain = [" ".join(words[first : first + 100]) for first in range(0, 60, 6)]
    assert _similarities([chain[0], chain[-1]])[1, 0] < 0.4
    verdicts, _, _ = deduplicate(tmp_path, [chain], config_of(bands=60, rows=4))
    assert verdicts == [[0] + [2] * 9]


def test_many_copies_cost_two_pairs_each(tmp_path: Path) -> None:
    words = _vocabulary()
    texts = [" ".join([*words[:200], words[300 + number]]) for number in range(150)]
    verdicts, report, _ = deduplicate(tmp_path, [texts], config_of())
    assert verdicts == [[0] + [2] * 149]
    assert report.facts["candidates"] < 14 * 2 * 150 < 150 * 149 // 2


@given(st.lists(st.integers(1, 3 * SMALL), min_size=0, max_size=6))
def test_pairs_of_groups(sizes: list[int]) -> None:
    hashes = [number + 1 for number, size in enumerate(sizes) for _ in range(size)]
    places = range(100, 100 + len(hashes))
    rows = np.array([hashes, places], np.uint64).T.reshape(-1, 2)
    expected = set()
    for number, size in enumerate(sizes):
        first = 100 + sum(sizes[:number])
        for a, b in combinations(range(first, first + size), 2):
            if size <= SMALL or a in (first, b - 1):
                expected.add((b, a))
    pairs = pairs_of(rows).tolist()
    assert len(pairs) == len(expected)
    assert {(b, a) for b, a in pairs} == expected


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_roots_are_the_smallest_of_their_components(edges: list[tuple[int, int]]) -> None:
    parents = np.arange(31)
    unite(parents, np.array(edges, np.int64).reshape(-1, 2))
    flatten(parents, 0, 10)
    flatten(parents, 10, 31)
    for cluster in _clusters(31, set(edges)):
        assert {int(parents[number]) for number in cluster} == {min(cluster)}


# --- exact duplicates ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from(["", "a", "b", "c", "d e", "d  e", "é"]), max_size=6), min_size=1, max_size=5),
    st.integers(1, 9),
    st.data(),
)
def test_equal_texts_as_a_set_would_find_them(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[str]], batch: int, data: st.DataObject
) -> None:
    ranks = data.draw(st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BATCH", batch)
        verdicts, report, workers = deduplicate(tmp_path_factory.mktemp("exact"), groups, config_of("exact"), ranks)
    seen: set[str] = set()
    expected = [[0] * len(group) for group in groups]
    for number in sorted(range(len(groups)), key=lambda number: (ranks[number], number)):
        for line, text in enumerate(groups[number]):
            expected[number][line] = int(text in seen)
            seen.add(text)
    assert verdicts == expected
    assert "bands" not in workers.tasks
    if any(groups):
        texts = [text for group in groups for text in group]
        assert report.facts["clusters"] == sum(texts.count(text) > 1 for text in set(texts))
        assert report.facts["duplicates"] == len(texts) - len(set(texts))


def test_short_texts_are_only_compared_exactly(tmp_path: Path) -> None:
    verdicts, _, _ = deduplicate(tmp_path, [["Hello, world!", "hello world", "hello world"]], config_of())
    assert verdicts == [[0, 0, 1]]


def test_nothing_is_looked_for(tmp_path: Path) -> None:
    _, report, workers = deduplicate(tmp_path, [["a", "a"], []], config_of("none"))
    assert (report.verdicts, report.facts, workers.tasks) == ([None, None], {}, {})
