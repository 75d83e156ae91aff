from __future__ import annotations

import json
import re
from pathlib import Path

import ftfy
import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.corpus.cleaning import clean
from lumilab.corpus.mojibake import mended
from lumilab.recipe.corpus import CleaningConfig

# Every character that ftfy takes for a sign of mojibake, with letters and spaces to stand around it.
SIGNS = sorted(set(re.sub("(.)-(.)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))),
                          "".join(MOJIBAKE_CATEGORIES.values()))))  # fmt: skip
LINES = st.text(st.sampled_from([*SIGNS, *"abXZ ,.!?日本язык"]), max_size=12)
ENCODINGS = st.sampled_from(["latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "mac_roman", "cp437"])


@settings(max_examples=500)
@given(st.lists(LINES, max_size=4))
def test_the_quick_test_misses_nothing_that_ftfy_would_mend(lines: list[str]) -> None:
    assert mended("\n".join(lines)) == "\n".join(map(ftfy.fix_encoding, lines))


@given(st.text(st.sampled_from("äöüßéèñçøåïœ“”’—…€ žďžłąțпривет мир ελλά 日本語 abc"), min_size=1), ENCODINGS)
def test_text_that_was_decoded_wrongly_is_mended_as_ftfy_does(text: str, encoding: str) -> None:
    broken = text.encode().decode(encoding, "replace").replace("\n", " ")
    assert mended(broken) == ftfy.fix_encoding(broken)


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("schÃ¶n", "schön"),
        ("itâ€™s", "it’s"),
        ("ÃƒÂ¤hnlich", "ähnlich"),
        ("РџСЂРёРІРµС‚", "Привет"),
        ("l’été à Paris, 5 €", "l’été à Paris, 5 €"),
        ("«Единая Россия» — партия", "«Единая Россия» — партия"),
        ("schÃ¶n\nПривет", "schön\nПривет"),
        ("A\u0303\u00a4hnlich", "ähnlich"),
        ("Ã\x00¤hnlich", "ähnlich"),
    ],
)
def test_examples(broken: str, whole: str) -> None:
    assert clean(broken, CleaningConfig(mojibake=True)) == whole


def test_it_is_off_by_default() -> None:
    assert clean("schÃ¶n", CleaningConfig()) == "schÃ¶n"


def test_real_pages_are_mended_as_ftfy_does(shared_data: Path) -> None:
    pages = json.loads((shared_data / "web-pages/ground-truth.json").read_text(encoding="utf-8"))
    for page in list(pages.values())[::3]:
        text = page["articleBody"]
        assert mended(text) == "\n".join(map(ftfy.fix_encoding, text.split("\n")))
