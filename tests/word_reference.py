"""The words of a text by the rules of lumilab.corpus.shingles, worked out slowly with the standard library's tables.

For texts in NFC whose letters have composed forms; the module's own tests use others too.
"""

from __future__ import annotations

import re
import unicodedata

OWN_WORD = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af]"
)
SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # of variants


def words_of(text: str) -> list[str]:
    """Normalised words in their order."""
    text = "".join(character.lower() for character in SELECTORS.sub("", text))
    text = "".join(part for part in unicodedata.normalize("NFD", text) if not _passed_over(part))
    text = unicodedata.normalize("NFC", text)
    text = "".join(part if unicodedata.category(part)[0] in "LMN" else " " for part in text)
    text = "".join("0" if part.isdecimal() else part for part in text)
    return re.sub(f"({OWN_WORD})", r" \1 ", re.sub("0+", "0", text)).split()


def _passed_over(character: str) -> bool:
    place = unicodedata.combining(character)
    return unicodedata.category(character) == "Cf" or place == 1 or 10 <= place <= 36 or 200 <= place <= 240


def shingles_of(text: str, words: int) -> list[tuple[str, ...]]:
    """All runs of this many words, in order."""
    found = words_of(text)
    return [tuple(found[first : first + words]) for first in range(len(found) - words + 1)]
