"""From the bytes of a web page to Unicode.

The WHATWG encoding standard trusts a byte order mark, then the HTTP header, then what the page declares about itself.
Real servers often send a header that is wrong for the page, and text in another encoding that happens to be valid
UTF-8 beyond ASCII is all but impossible, so valid UTF-8 goes before the declarations here. A page that declares
nothing is guessed from its bytes (uchardet, by way of resiliparse).
"""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# The standard looks at the first 1 024 bytes; pages that put scripts first declare themselves later.
_DECLARATION_BYTES = 4096
_DECLARATION = re.compile(
    rb"""<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?\s*([\w:.+-]+)|\A\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*["']([\w:.+-]+)""",
    re.IGNORECASE,
)


def decode_page(page: bytes, charset: str | None = None) -> str:
    """The page as text; bytes that are none in its encoding become U+FFFD.

    Args:
        page: the page's bytes.
        charset: what the HTTP header's Content-Type says, if known.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if page.startswith(mark):
            return page[len(mark) :].decode(encoding, "replace")
    try:
        text = page.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and not text.isascii():
        return text
    declared = _known(charset) or _known(_declared(page))
    # UTF-16 without a byte order mark and the stateful encodings of East Asia look like ASCII; UTF-8 would be it.
    if text is not None and declared is None:
        return text
    return page.decode(declared or _guessed(page), "replace")


def _declared(page: bytes) -> str | None:
    match = _DECLARATION.search(page, 0, _DECLARATION_BYTES)
    if match is None:
        return None
    label = (match[1] or match[2]).decode("ascii", "replace").lower()
    # A declaration that could be read byte by byte was not written in UTF-16 (WHATWG, "prescan a byte stream").
    return "utf-8" if label.startswith("utf-16") else label


def _known(label: str | None) -> str | None:
    """Python's name of the encoding that a browser takes a label for (latin-1 is windows-1252 on the web)."""
    if not label:
        return None
    from resiliparse.parse.encoding import map_encoding_to_html5

    try:
        return codecs.lookup(map_encoding_to_html5(label, fallback_utf8=False) or "").name
    except LookupError:
        return None


def _guessed(page: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    return _known(detect_encoding(page)) or "utf-8"
