"""Mending mojibake: text in UTF-8 that somebody decoded as if it were in a one-byte encoding ("schÃ¶n" for "schön").

ftfy knows how, but looking whether there is something to mend takes it 3 MB/s. So a line goes to ftfy only if it has
what each of the patterns of `ftfy.badness` needs: in plain English text that is one line in a thousand, and most others
are told by a test that runs at the speed of a search for one character. Texts are mended line by line, because ftfy
undoes one wrong decoding for all that it is given.
"""

from __future__ import annotations

import re

# A space for each printable ASCII character, tab and newline, \1 for each other control; what is beyond stays.
_NOT_PLAIN = bytes(
    code if code >= 128 else (ord(" ") if 32 <= code < 127 or code in b"\t\n" else 1) for code in range(256)
)

# Characters that one-byte encodings have for bytes above 127, but for the letters of the Greek and Cyrillic ones.
_SIGNS = "\xa0-\u024f\u02b0-\u02ff\u0384\u0385\u0490\u0491\u2000-\u2bff\uf8ff\ufb01\ufb02\ufffd"
_LETTERS = "\u0370-\u0383\u0386-\u048f\u0492-\u04ff"
# What may follow such a letter: an accented letter, or a sign that text does not have there.
_BEHIND_LETTERS = (
    "\xa1-\xaa\xac-\xba\xbc-\u024f\u02b0-\u02ff\u0490\u0491\u2020\u2021\u2030\u2310\u25ca\ufb01\ufb02\ufffd"
)
_ENCLOSING = "ВГРСΒΓΞΟ"  # how the lead bytes of Cyrillic and Greek look when they were decoded as such
# Every branch begins with the one class, which the search for a first character is quick at.
_SUSPICIOUS = re.compile(
    r"[^\x00-\x7f](?:"
    "(?<=[\x80-\x9f\u0152\u0153ÂÃЂ])"
    f"|(?<=[{_SIGNS}])[{_SIGNS}]"
    f"|(?<=[{_LETTERS}])[{_BEHIND_LETTERS}]"
    f"|(?<=[{_ENCLOSING}])[{_SIGNS}][{_ENCLOSING}]"
    "|(?<=β)€)"
)


def not_plain(text: str) -> str:
    """The runs of characters that are not plain ASCII, with a space between any two; controls of ASCII become \\1.

    Of most texts in Latin letters little is left, and what is sought in it is found many times faster than in all.
    """
    return b" ".join(text.encode().translate(_NOT_PLAIN).split()).decode()


def mended(text: str) -> str:
    """The text with the mojibake of each line undone."""
    if text.isascii() or not _SUSPICIOUS.search(not_plain(text)):
        return text
    from ftfy import fix_encoding

    return "\n".join(fix_encoding(line) if _SUSPICIOUS.search(line) else line for line in text.split("\n"))
