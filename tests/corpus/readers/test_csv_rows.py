from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers import csv_rows as module
from lumilab.corpus.readers.csv_rows import csv_rows


def read(data: bytes, size: int = 11, delimiter: str = ",", text_field: str | None = None) -> list[Any]:
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    return list(csv_rows(blocks, "files", "a.csv", delimiter, text_field))


def bad(line: int | None, reason: str) -> BadRecord:
    return BadRecord("files", "a.csv", line, reason)


FIELDS = st.text(st.sampled_from("ab \",\t;\n\r\n'ä\u2028"), max_size=12)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), max_size=12),
    delimiter=st.sampled_from([",", "\t"]),
    # With a bare newline for its ending the writer leaves a carriage return unquoted, as if it belonged to the ending.
    style=st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
)
def test_rows_are_what_the_standard_library_wrote(
    rows: list[tuple[str, str, str]], delimiter: str, style: tuple[str, Any]
) -> None:
    ending, quoting = style
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerows([("x", "y", "z"), *rows])
    found = read(out.getvalue().encode(), delimiter=delimiter)
    assert [fields for _, fields in found] == [dict(zip("xyz", row, strict=True)) for row in rows]
    starts = [number for number, _ in found]
    lines = out.getvalue().split("\n")
    written = list(csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter))
    assert len(written) == len(found) + 1
    for number, row in zip(starts, rows, strict=True):
        text = io.StringIO("\n".join(lines[number - 1 :]), newline="")
        assert next(csv.reader(text, delimiter=delimiter)) == list(row)


DAMAGE = [
    (b'never "closed" here,b', []),  # quotes inside an unquoted field are characters
    (b'"never closed,b', [(3, "unclosed quote")]),
    (b'a,"never closed', [(3, "unclosed quote")]),
    (b"too,many,fields", [(3, "wrong number of fields")]),
    (b"few", [(3, "wrong number of fields")]),
    (b"a,\xff", [(3, "invalid UTF-8")]),
    (b'"\xff\nover two lines",b', [(3, "invalid UTF-8")]),
    (b'"over two lines\n\xff",b', [(3, "invalid UTF-8")]),
    (b"a,\x00", [(3, "NUL bytes")]),
    (b"\x00" * 20, [(3, "NUL bytes")]),
]


@pytest.mark.parametrize(("line", "expected"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_record_costs_itself_alone(line: bytes, expected: list[tuple[int, str]]) -> None:
    data = b"text,label\nfirst,1\n" + line + b"\nlast,3\n"
    found = read(data)
    assert [(record.line, record.reason) for record in found if isinstance(record, BadRecord)] == expected
    good = [fields for number, fields in (row for row in found if not isinstance(row, BadRecord))]
    assert good[0] == {"text": "first", "label": "1"}
    assert good[-1] == {"text": "last", "label": "3"}
    assert len(good) == (2 if expected else 3)


def test_a_quote_that_closes_nothing_is_named_with_the_modules_words() -> None:
    found = read(b'text,label\n"He said "yes" to me",1\nlast,3\n')
    assert found == [bad(2, "not valid CSV (',' expected after '\"')"), (3, {"text": "last", "label": "3"})]


def test_a_stray_quote_before_quoted_records_costs_one_record() -> None:
    found = read(b'text,label\n"stray,1\n"quoted, well",2\n"x\ny",3\n')
    assert [row for row in found if not isinstance(row, BadRecord)] == [
        (3, {"text": "quoted, well", "label": "2"}),
        (4, {"text": "x\ny", "label": "3"}),
    ]
    assert [record.line for record in found if isinstance(record, BadRecord)] == [2]


def test_blank_lines_mark_and_long_fields() -> None:
    long = "x" * 1_000_000  # the module's own limit is 131 072
    before = csv.field_size_limit()
    data = f'\ufeff"text",n\r\n\r\n"{long}",1\r\n\r\n'.encode()
    assert read(data, 1 << 16) == [(3, {"text": long, "n": "1"})]
    assert csv.field_size_limit() == before


def test_a_record_over_the_limit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1_000)
    open_quote = b'"open,1\n' + b"plain,2\n" * 200
    data = b"text,n\n" + b"x" * 2_000 + b",1\n" + open_quote + b"end,3\n"
    found = read(data)
    assert [record for record in found if isinstance(record, BadRecord)] == [
        bad(2, "line over 0 MiB"),
        bad(3, "unclosed quote"),
    ]
    assert len(found) == 2 + 200 + 1
    assert found[-1] == (204, {"text": "end", "n": "3"})


def test_a_header_without_the_column_is_the_whole_files_fault() -> None:
    assert read(b"a,b\n1,2\n3,4\n", text_field="text") == [bad(None, "no column 'text'")]
    assert read(b'"a,b\n1,2\n', text_field="text") == [bad(1, "unclosed quote")]
    assert read(b"text,b\n", text_field="text") == []
