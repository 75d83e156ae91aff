"""The manifest: one byte sequence for one content, and no changed byte that goes unnoticed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.artifact.manifest import (
    FORMAT_VERSION,
    FileRecord,
    InputRecord,
    Manifest,
    canonical_json,
    digest_of,
    hash_file,
    plain_json,
)
from lumilab.errors import DamageError

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
sections = st.dictionaries(words, values, max_size=4)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
manifests = st.builds(
    Manifest,
    kind=words,
    config=sections,
    inputs=st.dictionaries(words, st.builds(InputRecord, digest=digests, path=words), max_size=3),
    files=st.dictionaries(words, st.builds(FileRecord, size=st.integers(min_value=0), sha256=digests), max_size=3),
    statistics=sections,
    environment=sections,
)

EXAMPLE = Manifest(
    kind="corpus",
    config={"corpus": {"limit": None, "share": 0.25, "naïve": [1, 2.5, True]}},
    inputs={"corpus": InputRecord(digest="ab" * 32, path="../corpus/0123")},
    files={"documents/shard-00000.jsonl.zst": FileRecord(size=12, sha256="cd" * 32)},
    statistics={"documents": 3, "loss": 1.5e300},
    environment={"created": "2026-11-21T08:00:00+00:00"},
)


@given(manifests)
def test_a_manifest_reads_back_as_it_was_written(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    again = Manifest.parse(data, where="here")
    assert again == manifest
    assert again.to_bytes() == data


@given(manifests, sections, sections)
def test_the_digest_covers_neither_statistics_nor_environment(
    manifest: Manifest, statistics: dict[str, Any], environment: dict[str, Any]
) -> None:
    moved = {
        name: InputRecord(record.digest, f"../elsewhere/{record.path}") for name, record in manifest.inputs.items()
    }
    other = replace(manifest, statistics=statistics, environment=environment, inputs=moved)
    assert other.digest == manifest.digest


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "dataset"},
        {"config": {"corpus": {"limit": 1}}},
        {"inputs": {"corpus": InputRecord(digest="ac" * 32, path="../corpus/0123")}},
        {"inputs": {"text": InputRecord(digest="ab" * 32, path="../corpus/0123")}},
        {"files": {"documents/shard-00000.jsonl.zst": FileRecord(size=12, sha256="ce" * 32)}},
        {"files": {"documents/shard-00001.jsonl.zst": FileRecord(size=12, sha256="cd" * 32)}},
        {"files": {}},
        {"format_version": FORMAT_VERSION + 1},
    ],
)
def test_the_digest_covers_everything_else(change: dict[str, Any]) -> None:
    assert replace(EXAMPLE, **change).digest != EXAMPLE.digest


def test_every_flipped_bit_is_noticed() -> None:
    data = EXAMPLE.to_bytes()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(DamageError):
                Manifest.parse(bytes(damaged), where="here")


def test_every_cut_and_every_addition_is_noticed() -> None:
    data = EXAMPLE.to_bytes()
    for end in range(len(data)):
        with pytest.raises(DamageError):
            Manifest.parse(data[:end], where="here")
    for extra in (b" ", b"\n", b"{}", b"\0"):
        with pytest.raises(DamageError):
            Manifest.parse(data + extra, where="here")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"3",
        b'{"kind": "corpus"}',
        b'{"name": "some web app", "icons": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        EXAMPLE.to_bytes().replace(b"1.5e+300", b"1.5e+900"),
        EXAMPLE.to_bytes().replace(b"1.5e+300", b"NaN"),
        EXAMPLE.to_bytes().replace(b'"format_version": 1', b'"format_version": "2"'),
        EXAMPLE.to_bytes().replace(b'"size": 12', b'"weight": 12'),
    ],
)
def test_what_is_no_manifest_is_damage_and_names_the_file(data: bytes) -> None:
    with pytest.raises(DamageError) as caught:
        Manifest.parse(data, where="runs/a/manifest.json")
    assert caught.value.where == "runs/a/manifest.json"
    assert caught.value.exit_code == 4


def test_a_newer_format_says_to_upgrade() -> None:
    data = replace(EXAMPLE, format_version=FORMAT_VERSION + 1).to_bytes()
    with pytest.raises(DamageError, match="upgrade lumilab"):
        Manifest.parse(data, where="here")


def test_the_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Manifest.read(tmp_path)


def test_canonical_json_is_the_bytes_a_person_would_write() -> None:
    assert (
        canonical_json({"b": [1, 2.5, None], "a": "é\n", "c": True}) == b'{"a":"\xc3\xa9\\n","b":[1,2.5,null],"c":true}'
    )
    assert canonical_json({"b": 1, "a": 2}, indent=2) == b'{\n  "a": 2,\n  "b": 1\n}'


@given(values)
def test_canonical_json_is_json_and_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def reversed_keys(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: reversed_keys(part[key]) for key in reversed(part)}
        return [reversed_keys(item) for item in part] if isinstance(part, list) else part

    assert json.loads(canonical_json(value)) == value
    assert canonical_json(reversed_keys(value)) == canonical_json(value)


def test_a_file_name_that_is_not_utf8_survives() -> None:
    name = b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    data = canonical_json({"name": name})
    data.decode("utf-8")
    assert json.loads(data)["name"] == name


def test_plain_json_gives_what_reading_back_gives() -> None:
    assert plain_json({2: (1, 2), 10: "x"}) == {"2": [1, 2], "10": "x"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_without_a_json_form_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"loss": number})


def test_digests_are_sha256(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1: the digest of "abc".
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert hash_file(path) == FileRecord(size=3, sha256=known)
    assert digest_of({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
