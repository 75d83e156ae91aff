from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.samples import EXCERPT_CHARACTERS, Samples


def sampled(names: list[str], size: int) -> list[str]:
    samples = Samples(size)
    for name in names:
        samples.offer(name, f"text of {name}")
    return [sample["id"] for sample in samples.summary()]


@given(st.sets(st.text(max_size=5), max_size=30), st.integers(1, 5))
def test_keeps_the_documents_with_the_smallest_hashes_in_any_order(names: set[str], size: int) -> None:
    def rank(name: str) -> bytes:
        return hashlib.blake2b(name.encode(), digest_size=8).digest()

    smallest = sorted(names, key=rank)[:size]
    assert sampled(sorted(names), size) == smallest
    assert sampled(sorted(names, reverse=True), size) == smallest


@given(st.lists(st.sets(st.text(max_size=5), max_size=9), max_size=4), st.integers(1, 5))
def test_workers_keep_together_what_one_would_have_kept(shares: list[set[str]], size: int) -> None:
    names = {f"{worker}:{name}" for worker, share in enumerate(shares) for name in share}
    together = Samples(size)
    for worker in range(len(shares)):
        own = Samples(size)
        for name in names:
            if name.startswith(f"{worker}:"):
                own.offer(name, f"text of {name}")
        together.merge(Samples.from_json(own.to_json()))
    assert [sample["id"] for sample in together.summary()] == sampled(sorted(names), size)


def test_an_excerpt_is_the_beginning() -> None:
    samples = Samples()
    samples.offer("long", "abc" * 1_000)
    assert samples.summary() == [{"id": "long", "excerpt": ("abc" * 1_000)[:EXCERPT_CHARACTERS]}]
