"""Cleaning one text: mojibake, line ends, control characters, Unicode composition, trailing space.

The steps run in an order that makes cleaning idempotent: removing a control character may bring a letter and its
accent together, so characters go before the composition (Unicode Standard Annex #15, NFC); nothing after it can.
Mojibake is mended first, because some of it looks like control characters; and since the other steps may bring the
halves of more of it together, all of them are repeated until nothing changes. Each mending makes the text shorter.
"""

from __future__ import annotations

import re
import unicodedata

from lumilab.corpus.mojibake import mended
from lumilab.recipe.corpus import CleaningConfig

# What Python and Unicode (Standard section 5.8) take for the end of a line; a form feed separates pages.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# C0 and C1 controls without tab and newline, DEL, and the byte order mark, which is none inside a text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
# The same characters in UTF-8. Most texts have none, which bytes tell ten times faster than the patterns above do.
_PLAIN_BYTES = bytes(code for code in (*range(32), 127) if code not in b"\t\n")
_WIDE_BYTES = re.compile(b"\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf")
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
    if config.control_characters and _has_controls(text):
        text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    if config.unicode_nfc and not text.isascii():
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


def _has_controls(text: str) -> bool:
    """Whether any character is one that `_LINE_ENDS` or `_CONTROLS` finds."""
    data = text.encode()
    return len(data.translate(None, _PLAIN_BYTES)) != len(data) or bool(not text.isascii() and _WIDE_BYTES.search(data))
