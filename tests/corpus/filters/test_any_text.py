"""Whatever the text, there is a verdict, and it depends on that text alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy_pieces import line_texts, texts

from lumilab.corpus.filters import Filters, build_filters
from lumilab.recipe.filters import PRESETS, FiltersConfig

EVERYTHING: dict[str, Any] = {
    "length": {"min_words": 0},
    "gopher_repetition": {},
    "gopher_quality": {"min_words": None, "min_stop_words": None},
    "c4": {"min_sentences": None},
    "c4_paragraphs": {"min_characters": 1, "min_paragraphs": 1},
    "fineweb": {},
}
# Each filter alone, or an early one would hide the others from most texts.
CONFIGS = [*({name: section} for name, section in EVERYTHING.items()), EVERYTHING]
ANY_CHARACTERS = st.text(st.characters() | st.sampled_from("\ud800\udbff\udc00\udfff \n.#…"), max_size=80)
ANY_BYTES = st.binary(max_size=80).map(lambda data: data.decode("utf-8", "surrogateescape"))
ANY_TEXT = ANY_CHARACTERS | ANY_BYTES | texts() | line_texts()


def filters(**sections: Any) -> Filters:
    built = build_filters(FiltersConfig.model_validate(sections))
    assert built is not None
    return built


@pytest.fixture(scope="module")
def used() -> list[Filters]:
    """Filters that go on from one text to the next."""
    return [filters(**config) for config in CONFIGS]


@given(ANY_TEXT)
@example("")
@example("\ud800")
@example("\x00")
@example("\n" * 300)
@example("\r\n\r\n\r")
@example("a" * 5_000)
@example(".'" * 500)
@settings(max_examples=40)
def test_there_is_a_verdict_which_does_not_depend_on_texts_before(used: list[Filters], text: str) -> None:
    for config, before in zip(CONFIGS, used, strict=True):
        verdict = before.apply(text)
        assert verdict == filters(**config).apply(text)
        if verdict.reason is not None or "c4" not in config:
            assert verdict.text == text
        elif len(config) == 1:  # what is left of each line was there, and the line is looked at again in vain
            assert set(verdict.text) <= set(text) | {"\n"}


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
@given(texts=st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=8)
def test_presets_judge_in_any_order_alike(name: str, texts: list[str]) -> None:
    there, back = filters(preset=name), filters(preset=name)
    verdicts = [there.apply(text) for text in texts]
    assert [back.apply(text) for text in reversed(texts)] == verdicts[::-1]


def test_a_long_text_between_short_ones_changes_nothing() -> None:
    """Memory grows for it, and what it leaves there is not seen by the next."""
    draw = random.Random(0)
    words = ["the", "of", "river", "Mr.", "don't", "[1]", "x.", "東京", "\n", "\n\n", "and", "…", "it's.", "#"]
    lengths = [0, 5, 30_000, 5, 300, 120_000, 40, 0, 300]
    batch = [" ".join(draw.choices(words, k=length)) for length in lengths]
    for config in CONFIGS:
        judge = filters(**config)
        assert [judge.apply(text) for text in batch] == [filters(**config).apply(text) for text in batch]
