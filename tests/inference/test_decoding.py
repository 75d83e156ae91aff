"""Text as it grows: characters stay whole, stop strings are found however they are cut."""

import itertools
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.inference.decoding import IncrementalDecoder, StopStrings, limited_newlines

# The decoder asks a tokenizer for nothing but the bytes of an id, so here each id is one byte.
BYTES = SimpleNamespace(token_bytes=lambda token: bytes([token]))


@given(st.text())
def test_any_text_comes_back_whole(text):
    decoder = IncrementalDecoder(BYTES)
    pieces = [decoder.push(byte) for byte in text.encode()]
    assert "".join(pieces) == text
    assert all(len(piece) <= 1 for piece in pieces)


@given(st.binary())
def test_broken_bytes_are_shown_as_a_whole_decoder_would(data):
    decoder = IncrementalDecoder(BYTES)
    text = "".join(decoder.push(byte) for byte in data)
    whole = data.decode("utf-8", "replace")
    assert whole.startswith(text)
    assert len(whole) - len(text) <= 1  # an unfinished character at the end


def test_an_emoji_appears_with_its_last_byte():
    decoder = IncrementalDecoder(BYTES)
    assert [decoder.push(byte) for byte in "🎉".encode()] == ["", "", "", "🎉"]


def before_first_complete(text, strings):
    for end in range(len(text) + 1):
        ending = [string for string in strings if text[:end].endswith(string)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(
    st.text(alphabet="ab", max_size=30),
    st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_stop_strings_do_not_depend_on_how_the_text_is_cut(text, strings, cuts):
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    stop = StopStrings(strings)
    shown = "".join(stop.push(text[start:end]) for start, end in itertools.pairwise(edges))
    shown += stop.flush()
    assert (shown, stop.found) == before_first_complete(text, strings)


def test_stop_string_over_three_pieces_is_never_shown():
    stop = StopStrings(["\nUser:"])
    assert [stop.push(piece) for piece in ["Hi", "\nUs", "er", ": more"]] == ["Hi", "", "", ""]
    assert stop.found
    assert stop.flush() == ""


def test_a_beginning_that_leads_nowhere_is_shown_after_all():
    stop = StopStrings(["STOP"])
    assert stop.push("go ST") == "go "
    assert stop.push("ART") == "START"


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValueError, match="empty"):
        StopStrings([""])


@given(st.lists(st.text("a\n", max_size=6), max_size=10), st.integers(1, 4))
def test_runs_of_newlines_are_cut_however_the_text_is(pieces: list[str], most: int) -> None:
    expected = re.sub("\n" * most + "+", "\n" * most, "".join(pieces))
    assert "".join(limited_newlines(pieces, most)) == expected
