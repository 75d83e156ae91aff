from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.web.encoding import decode_page

RUSSIAN = "<html><body>" + "Все люди рождаются свободными и равными в своём достоинстве. " * 5
JAPANESE = "<html><body>" + "すべての人間は、生れながらにして自由であり、" * 5


@given(st.text())
def test_utf8_is_read_whatever_the_header_says(text: str) -> None:
    assert decode_page(("é" + text).encode(), "latin-1") == "é" + text
    assert decode_page(text.encode("utf-8-sig"), "latin-1") == text


@given(st.binary(), st.sampled_from([None, "utf-8", "shift_jis", "no-such-charset", "", "x-user-defined", "\x00"]))
def test_any_bytes_become_text_that_can_be_written(page: bytes, charset: str | None) -> None:
    decode_page(page, charset).encode()


@pytest.mark.parametrize("encoding", ["windows-1251", "koi8-r", "utf-16-le", "utf-16-be", "iso-8859-5"])
def test_the_header_is_believed(encoding: str) -> None:
    assert decode_page(RUSSIAN.encode(encoding), encoding) == RUSSIAN


@pytest.mark.parametrize(
    ("text", "encoding"), [(RUSSIAN, "windows-1251"), (JAPANESE, "shift_jis"), (JAPANESE, "euc-jp")]
)
def test_the_page_is_believed_where_the_header_says_nothing(text: str, encoding: str) -> None:
    for declaration in (
        f'<meta charset="{encoding}">',
        f"<META http-equiv=Content-Type content='text/html; charset={encoding.upper()}'>",
        f'<?xml version="1.0" encoding="{encoding}"?>',
    ):
        page = declaration + text
        assert decode_page(page.encode(encoding)) == page
        assert decode_page(page.encode(encoding), "no-such-charset") == page


@pytest.mark.parametrize(
    ("text", "encoding"), [(RUSSIAN, "windows-1251"), (JAPANESE, "shift_jis"), (JAPANESE, "euc-jp")]
)
def test_a_page_that_declares_nothing_is_guessed(text: str, encoding: str) -> None:
    assert decode_page(text.encode(encoding)) == text


def test_labels_mean_what_they_mean_to_browsers() -> None:
    assert decode_page(b"\x93quoted\x94 caf\xe9", "iso-8859-1") == "“quoted” café"
    assert decode_page(b"\x93quoted\x94 caf\xe9", "us-ascii") == "“quoted” café"
    # Who could read this declaration byte by byte has not read UTF-16.
    assert decode_page(b"<meta charset=utf-16>caf\xc3") == "<meta charset=utf-16>caf�"


def test_byte_order_marks_go_first() -> None:
    assert decode_page("\ufeffПривет".encode("utf-16-le"), "utf-8") == "Привет"
    assert decode_page("\ufeffПривет".encode("utf-16-be")) == "Привет"


def test_a_page_cut_inside_a_character_keeps_the_rest() -> None:
    assert decode_page("<meta charset=utf-8>Größe und Länge".encode()[:-6], None).startswith(
        "<meta charset=utf-8>Größe"
    )
    assert decode_page("Größe".encode()[:-2], "utf-8") == "Grö�"
