from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.document import Document
from lumilab.corpus.samples import EXCERPT_CHARACTERS, Samples


def sampled(names: list[str], size: int) -> list[str]:
    samples = Samples(size)
    for name in names:
        samples.offer(Document(name, f"text of {name}", "test"))
    return [sample["id"] for sample in samples.summary()]


@given(st.sets(st.text(max_size=5), max_size=30), st.integers(1, 5))
def test_keeps_the_documents_with_the_smallest_hashes_in_any_order(names: set[str], size: int) -> None:
    def rank(name: str) -> bytes:
        return hashlib.blake2b(name.encode(), digest_size=8).digest()

    smallest = sorted(names, key=rank)[:size]
    assert sampled(sorted(names), size) == smallest
    assert sampled(sorted(names, reverse=True), size) == smallest


def test_an_excerpt_is_the_beginning() -> None:
    samples = Samples()
    samples.offer(Document("long", "abc" * 1_000, "test"))
    assert samples.summary() == [{"id": "long", "excerpt": ("abc" * 1_000)[:EXCERPT_CHARACTERS]}]
