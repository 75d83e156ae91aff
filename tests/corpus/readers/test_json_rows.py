from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers import json_rows as module
from lumilab.corpus.readers.json_rows import json_lines, json_rows

NAME = "a.json"


def blocks(data: bytes, size: int = 7) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def read(data: bytes) -> list[Any]:
    return list(json_rows(iter(blocks(data)), "files", NAME))


def bad(line: int | None, reason: str) -> BadRecord:
    return BadRecord("files", NAME, line, reason)


DAMAGE = [
    (b"{broken", "not valid JSON"),
    (b'{"text": "never closed', "not valid JSON"),
    (b'{"text": 1}{"text": 2}', "not valid JSON"),
    (b'{"text": "\xff"}', "invalid UTF-8"),
    (b'{"text": "\xed\xa0\x80"}', "invalid UTF-8"),  # a surrogate written as if it were a character
    (b'{"text": "\\ud800"}', "not valid JSON"),
    (b'{"text": "\\udc00\\ud800"}', "not valid JSON"),
    (b'{"text": "\x00"}', "not valid JSON"),
    (b"\x00" * 50, "not valid JSON"),  # what a crash leaves in the place of a line
    (b"[" * 100_000, "not valid JSON"),
    (b"[" * 100_000 + b"]" * 100_000, "not valid JSON"),
    (b'{"text": NaN}', "not valid JSON"),
    (b"\xff\xfe{\x00}\x00", "invalid UTF-8"),  # UTF-16
]


@pytest.mark.parametrize(("line", "reason"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_line_is_one_bad_record_between_two_good_ones(line: bytes, reason: str) -> None:
    data = b'{"n": 1}\n' + line + b'\n{"n": 3}\n'
    assert list(json_lines(blocks(data, 1 << 16), "files", NAME)) == [(1, {"n": 1}), bad(2, reason), (3, {"n": 3})]


def test_a_surrogate_pair_is_a_character() -> None:
    assert read(b'{"text": "\\ud83d\\ude00"}') == [(1, {"text": "\U0001f600"})]


def test_blank_lines_marks_and_carriage_returns_are_nothing() -> None:
    data = b'\xef\xbb\xbf\r\n\n  \t\n{"n": 4}\r\n\xef\xbb\xbf{"n": 5}\n\n{"u": "a\xe2\x80\xa8b\xc2\x85c"}'
    assert read(data) == [(4, {"n": 4}), (5, {"n": 5}), (7, {"u": "a\u2028b\u0085c"})]


def test_a_line_over_the_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1 << 20)
    data = b'{"n": 1}\n"' + b"x" * (1 << 20) + b'"\n{"n": 3}'
    assert list(json_lines(blocks(data, 1 << 14), "files", NAME)) == [
        (1, {"n": 1}),
        bad(2, "line over 1 MiB"),
        (3, {"n": 3}),
    ]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=20))))
def test_lines_and_arrays_are_what_the_standard_library_wrote(rows: list[dict[str, Any]]) -> None:
    rows = json.loads(json.dumps(rows).encode("utf-8", "replace"))
    numbered = list(enumerate(rows, 1))
    assert read("\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()) == numbered
    assert read(("\ufeff \n" + json.dumps(rows, indent=2)).encode()) == numbered


def test_an_array_is_read_as_a_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(b' [{"n": 1}, 2, null] ') == [(1, {"n": 1}), (2, 2), (3, None)]
    assert read(b"[]") == []
    assert read(b'[{"n": 1},') == [bad(None, "not valid JSON")]
    assert read(b'["\xff"]') == [bad(None, "invalid UTF-8")]
    monkeypatch.setattr(module, "MAX_ARRAY_BYTES", 10)
    assert read(b"[1, 2, 3, 4]") == [bad(None, "JSON array over 0 MiB")]
