from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.corpus.web import archive
from lumilab.corpus.web.archive import ArchiveRecord, DamagedRecord, archive_records, is_archive


def record(content: bytes, kind: str = "response", *headers: str) -> bytes:
    lines = ["WARC/1.0", f"WARC-Type: {kind}", *headers, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n\r\n"


def read(data: bytes, name: str = "a.warc") -> list[ArchiveRecord | DamagedRecord]:
    return list(archive_records(io.BytesIO(data), name))


def contents(data: bytes, name: str = "a.warc") -> list[bytes | str | None]:
    return [r.content if isinstance(r, ArchiveRecord) else r.reason for r in read(data, name)]


# Contents that look like parts of an archive.
CONTENTS = st.lists(
    st.binary() | st.sampled_from([b"", b"WARC/1.0\r\n", record(b"inner"), b"\r\n\r\n", b"\x1f\x8b\x08"])
)


@settings(max_examples=50)
@given(CONTENTS)
def test_records_are_read_from_every_kind_of_file(parts: list[bytes]) -> None:
    records = [record(part) for part in parts]
    plain = b"".join(records)
    assert contents(plain) == parts
    assert contents(b"".join(map(gzip.compress, records)), "a.warc.gz") == parts
    assert contents(gzip.compress(plain), "a.WARC.GZ") == parts
    assert contents(b"".join(map(zstandard.compress, records)), "a.warc.zst") == parts


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1000])
def test_records_are_read_alike_however_the_blocks_fall(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    parts = [b"x" * n for n in range(200)]
    data = b"".join(gzip.compress(record(part)) for part in parts)
    damaged = data[:700] + bytes(40) + data[740:]
    expected = contents(damaged, "a.warc.gz")
    monkeypatch.setattr(archive, "_BLOCK_BYTES", block)
    if block > 2:  # a magic number needs its three bytes together
        assert contents(damaged, "a.warc.gz") == expected
    assert contents(data, "a.warc.gz") == parts


def test_headers_are_kept_in_lower_case_and_unfolded() -> None:
    data = record(b"x", "metadata", "WARC-Target-URI: http://a/b:c", "X-Long: one", "  two", "Täg: ü")
    (found,) = read(data)
    assert isinstance(found, ArchiveRecord)
    assert (found.number, found.kind) == (1, "metadata")
    assert found.headers["warc-target-uri"] == "http://a/b:c"
    assert found.headers["x-long"] == "one two"


def test_a_damaged_member_costs_one_record() -> None:
    members = [gzip.compress(record(bytes([65 + n]) * 300)) for n in range(5)]
    middle = bytearray(members[2])
    middle[30] ^= 0xFF
    data = b"".join([*members[:2], bytes(middle), *members[3:]])
    found = read(data, "a.warc.gz")
    assert [r.number for r in found] == [1, 2, 3, 4, 5]
    assert [r.content[:1] if isinstance(r, ArchiveRecord) and r.content else r for r in found] == [
        b"A", b"B", DamagedRecord(3, "damaged compression"), b"D", b"E",
    ]  # fmt: skip


def test_a_member_that_only_looks_like_one_is_passed_over() -> None:
    members = [gzip.compress(record(bytes([65 + n]) * 300)) for n in range(3)]
    broken = members[1][:25] + b"\x1f\x8b\x08 and so on" + gzip.compress(b"no record") + members[1][30:40]
    found = contents(members[0] + broken + members[2], "a.warc.gz")
    assert found == [b"A" * 300, "damaged compression", b"C" * 300]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_archive_cut_short_says_so(ending: str) -> None:
    compress = gzip.compress if ending == ".gz" else zstandard.compress
    data = compress(record(b"A" * 300)) + compress(record(b"B" * 300))
    assert contents(data[:-20], f"a.warc{ending}") == [b"A" * 300, "damaged compression"]
    assert contents(data[: len(compress(record(b"A" * 300)))], f"a.warc{ending}") == [b"A" * 300]


def test_a_plain_archive_goes_on_at_the_next_record() -> None:
    rest = record(b"good")
    assert contents(b"rubbish\r\nmore\r\n" + rest) == ["not a WARC record", b"good"]
    assert contents(b"WARC/1.0\r\nWARC-Type: response\r\n\r\nx\r\n" + rest) == [
        "a WARC record without its length",
        b"good",
    ]
    assert contents(rest + record(b"cut")[:-6]) == [b"good", "a WARC record cut short"]
    assert contents(rest + b"WARC/1.0\r\nWARC-Ty") == [b"good", "a WARC record cut short"]
    assert contents(b"WARC/1.0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n" + rest) == ["a WARC header over 64 KiB", b"good"]
    assert contents(b"WARC/1.0\r\nContent-Length: -3\r\n\r\n" + rest) == ["a WARC record without its length", b"good"]
    assert contents(b"rubbish") == ["not a WARC record"]


@given(st.binary(max_size=60), st.integers(0, 400))
def test_no_damage_stops_the_reading_or_makes_up_records(noise: bytes, place: int) -> None:
    records = [gzip.compress(record(bytes([65 + n]) * 50, "response", f"X: {n}")) for n in range(4)]
    data = b"".join(records)
    damaged = data[:place] + noise + data[place + len(noise) :]
    found = read(damaged, "a.warc.gz")
    assert [r.number for r in found] == list(range(1, len(found) + 1))
    whole = {bytes([65 + n]) * 50 for n in range(4)}
    assert {r.content for r in found if isinstance(r, ArchiveRecord)} <= whole


def test_a_record_beyond_the_limit_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    length = 40 << 20
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(f"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: {length}\r\n\r\n".encode())
        file.write(bytes(length))
        file.write(b"\r\n\r\n" + record(b"behind"))
    tracemalloc.start()
    with path.open("rb") as stream:
        found = [r.content for r in archive_records(stream, path.name) if isinstance(r, ArchiveRecord)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [None, b"behind"]
    assert peak < 10 << 20


def test_real_archives_are_read_as_fastwarc_reads_them(shared_data: Path) -> None:
    warc = pytest.importorskip("fastwarc.warc")
    for path in sorted((shared_data / "web-crawl-fixtures").glob("*.gz")):
        with path.open("rb") as stream:
            theirs = [
                (str(r.record_type).split(".")[-1], r.headers.get("WARC-Target-URI"), r.reader.read())
                for r in warc.ArchiveIterator(stream, parse_http=False)
            ]
        with path.open("rb") as stream:
            ours = list(archive_records(stream, path.name))
        assert [
            (r.kind, r.headers.get("warc-target-uri"), r.content) for r in ours if isinstance(r, ArchiveRecord)
        ] == theirs
        assert len(ours) == len(theirs) > 1


def test_names_of_archives() -> None:
    assert all(map(is_archive, ["a.warc", "b/a.WARC.gz", "a.warc.wet.gz", "a.wet", "a.warc.zst"]))
    assert not any(map(is_archive, ["a.warc.wat.gz", "a.html", "warc.gz", "a.warc.bz2", "a.gz"]))
