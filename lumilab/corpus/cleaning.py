"""Cleaning one text: mojibake, line ends, control characters, Unicode composition, trailing space.

The steps run in an order that makes cleaning idempotent: removing a control character may bring a letter and its
accent together, so characters go before the composition (Unicode Standard Annex #15, NFC); nothing after it can.
Mojibake is mended first, because some of it looks like control characters; and since the other steps may bring the
halves of more of it together, all of them are repeated until nothing changes. Each mending makes the text shorter.
"""

from __future__ import annotations

import re
import unicodedata

from lumilab.corpus.mojibake import mended, not_plain
from lumilab.recipe.corpus import CleaningConfig

# What Python and Unicode (Standard section 5.8) take for the end of a line; a form feed separates pages.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# C0 and C1 controls without tab and newline, DEL, and the byte order mark, which is none inside a text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
# The same characters in what `not_plain` leaves of a text, which tells ten times faster that most texts have none.
_ANY_CONTROL = re.compile("[\x01\x80-\x9f\u2028\u2029\ufeff]")
# Beyond the letters and signs in these ranges there are marks to compose, and characters with another form.
_MAY_COMPOSE = re.compile("[^\x00-\u02ff\u2010-\u20cf]")
_MANY_EMPTY_LINES = re.compile("\n{4,}")
_LEADING_EMPTY_LINES = re.compile(r"(?:[^\S\n]*\n)+")


def clean(text: str, config: CleaningConfig) -> str:
    """The text as the configuration wants it; cleaning twice changes nothing more."""
    if not config.mojibake:
        return _normalised(text, config)
    while (cleaned := _normalised(mended(text), config)) != text:
        text = cleaned
    return text


def _normalised(text: str, config: CleaningConfig) -> str:
    unusual = not_plain(text)
    if config.control_characters and _ANY_CONTROL.search(unusual):
        text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    if config.unicode_nfc and _MAY_COMPOSE.search(unusual):
        text = unicodedata.normalize("NFC", text)
    if config.trailing_space:
        # Line by line, because a pattern for trailing space takes quadratic time on a long run of inner spaces.
        text = "\n".join(map(str.rstrip, text.split("\n")))
        if leading := _LEADING_EMPTY_LINES.match(text):
            text = text[leading.end() :]
        text = text.rstrip()
        if "\n\n\n\n" in text:
            text = _MANY_EMPTY_LINES.sub("\n\n\n", text)
    return text
