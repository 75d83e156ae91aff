from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus import cleaning
from lumilab.corpus.cleaning import clean
from lumilab.corpus.mojibake import not_plain
from lumilab.recipe.corpus import CleaningConfig

ALL = CleaningConfig()
NONE = CleaningConfig(unicode_nfc=False, control_characters=False, trailing_space=False)
# Weighted towards what cleaning is about: line ends, spaces, controls and combining marks.
TROUBLE = st.text(
    st.sampled_from("\r\n\t \x0b\x0c\x1c\x00\x7f\x85\x9f\ufeff\u2028\u00a0\u3000\u0301\u0327eEa\u212b가각x")
)
# What UTF-8 looks like when it was decoded as something else, whole and in pieces.
MOJIBAKE = st.lists(
    st.sampled_from(
        ["Ã¤", "â€™", "Ã\x83Â¤", "Â ", "Ã", "¤", "A\u0303", "\x00", "РџСЂРё", "schön ", "\n", "a", "â‚¬", "Å\x93"]
    )
).map("".join)
TEXTS = TROUBLE | st.text()
CONFIGS = st.builds(
    CleaningConfig,
    unicode_nfc=st.booleans(),
    control_characters=st.booleans(),
    trailing_space=st.booleans(),
    mojibake=st.booleans(),
)


@given(TEXTS | MOJIBAKE, CONFIGS)
def test_cleaning_twice_changes_nothing_more(text: str, config: CleaningConfig) -> None:
    once = clean(text, config)
    assert clean(once, config) == once


@given(TEXTS)
def test_with_every_step_off_the_text_is_untouched(text: str) -> None:
    assert clean(text, NONE) == text


@given(TEXTS)
def test_what_is_left_is_composed_printable_and_trimmed(text: str) -> None:
    cleaned = clean(text, ALL)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not [c for c in cleaned if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert all(line == line.rstrip() for line in cleaned.split("\n"))
    assert "\n\n\n\n" not in cleaned
    assert cleaned.strip("\n") == cleaned


@given(TEXTS)
def test_no_visible_character_is_lost_or_moved(text: str) -> None:
    def visible(value: str) -> str:
        kept = (c for c in value if not c.isspace() and unicodedata.category(c) != "Cc" and c != "\ufeff")
        return unicodedata.normalize("NFC", "".join(kept))

    assert visible(clean(text, ALL)) == visible(text)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("page one\x0c\npage two", "page one\n\npage two"),
        ("a\x00b\x1bc\x7fd\ufeffe\x80f", "abcdef"),
        ("e\u0301", "\u00e9"),
        ("e\x00\u0301", "\u00e9"),
        ("tab\tstays \t\nend   ", "tab\tstays\nend"),
        ("\n \n    indented\n\n\n\n\n\nfar", "    indented\n\n\nfar"),
        ("\u2028start", "start"),
        (" \n\t\n", ""),
    ],
)
def test_examples(raw: str, cleaned: str) -> None:
    assert clean(raw, ALL) == cleaned


def test_each_step_can_be_had_alone() -> None:
    raw = "e\u0301\x07 \r\n\n\n\n\n"
    assert clean(raw, NONE.model_copy(update={"unicode_nfc": True})) == "\u00e9\x07 \r\n\n\n\n\n"
    assert clean(raw, NONE.model_copy(update={"control_characters": True})) == "e\u0301 \n\n\n\n\n"
    assert clean(raw, NONE.model_copy(update={"trailing_space": True})) == "e\u0301\x07"


@given(
    text=st.text(st.sampled_from("a\t\n\r\x00\x0b\x1f\x7f\x85\x9f\xa0\u2027\u2028\u2029\ufeff\uff00é€𝒳"), max_size=4)
)
def test_whether_there_are_controls_is_told_alike_by_bytes_and_by_patterns(text: str) -> None:
    found = bool(cleaning._ANY_CONTROL.search(not_plain(text)))
    assert found == bool(cleaning._CONTROLS.search(text) or cleaning._LINE_ENDS.search(text))
