from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.exact_dedup import ExactDeduplicator


@given(st.lists(st.text(max_size=3)))
def test_keeps_the_first_of_each_text_like_a_plain_set_does(texts: list[str]) -> None:
    deduplicator = ExactDeduplicator()
    kept = [text for text in texts if not deduplicator.is_duplicate(text.encode())]
    assert kept == list(dict.fromkeys(texts))
