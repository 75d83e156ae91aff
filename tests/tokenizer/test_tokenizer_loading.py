"""Opening a tokenizer, its identity, and refusing what is none or another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lumilab.artifact import Artifact
from lumilab.errors import InputError, MismatchError
from lumilab.tokenizer.load import Tokenizer


@pytest.fixture
def definition(tokenizer: Tokenizer) -> dict[str, Any]:
    return dict(json.loads(tokenizer.to_json()))


def test_loads_from_a_folder_and_from_a_file(trained: Artifact, tokenizer: Tokenizer) -> None:
    from_file = Tokenizer.load(trained.path / "tokenizer.json")
    assert from_file.identity == tokenizer.identity == trained.manifest.statistics["identity"]
    assert from_file.to_json() == (trained.path / "tokenizer.json").read_text(encoding="utf-8")


def test_identity_is_of_the_content_not_the_layout(tokenizer: Tokenizer, definition: dict[str, Any]) -> None:
    reordered = json.dumps(dict(reversed(definition.items())), ensure_ascii=True, separators=(",", ":"))
    assert reordered != tokenizer.to_json()
    assert Tokenizer(reordered).identity == tokenizer.identity


def test_identity_does_not_see_how_merges_are_spelled(tokenizer: Tokenizer, definition: dict[str, Any]) -> None:
    definition["model"]["merges"] = [" ".join(pair) for pair in definition["model"]["merges"]]
    older_form = Tokenizer(json.dumps(definition))
    assert older_form.identity == tokenizer.identity
    assert older_form.encode("the river") == tokenizer.encode("the river")


def test_saved_truncation_and_padding_neither_act_nor_count(tokenizer: Tokenizer, definition: dict[str, Any]) -> None:
    definition["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    definition["padding"] = {
        "strategy": {"Fixed": 99}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|pad|>",
    }  # fmt: skip
    other = Tokenizer(json.dumps(definition))
    assert other.identity == tokenizer.identity
    text = "the bridge of the river " * 5
    assert other.encode(text) == tokenizer.encode(text)


def test_identity_sees_a_swapped_merge_and_a_normaliser(tokenizer: Tokenizer, definition: dict[str, Any]) -> None:
    swapped = json.loads(json.dumps(definition))
    merges = swapped["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    normalised = definition | {"normalizer": {"type": "NFC"}}
    identities = {Tokenizer(json.dumps(changed)).identity for changed in (definition, swapped, normalised)}
    assert len(identities) == 3


def test_the_same_identity_passes_and_another_is_refused(tokenizer: Tokenizer) -> None:
    tokenizer.check_same(tokenizer.identity, "the dataset d")
    with pytest.raises(MismatchError) as error:
        tokenizer.check_same("0123456789abcdef" * 4, "the dataset d")
    message = str(error.value)
    assert tokenizer.identity[:12] in message
    assert "0123456789ab" in message
    assert "the dataset d" in message
    assert "lumi run" in message
    assert error.value.exit_code == 4


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b"not json", b'{"model": {"type": "BPE"}}', b"\xff\xfe"])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError) as error:
        Tokenizer.load(tmp_path)
    assert "tokenizer.json" in str(error.value)


@pytest.mark.parametrize("name", ["absent", "absent/tokenizer.json", "file.txt/tokenizer.json"])
def test_a_missing_tokenizer_is_said_with_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(InputError, match=name.split("/", maxsplit=1)[0]):
        Tokenizer.load(tmp_path / name)


def test_a_special_token_that_is_not_there_is_missed_when_it_is_needed(definition: dict[str, Any]) -> None:
    definition["added_tokens"] = definition["added_tokens"][:4]
    tokenizer = Tokenizer(json.dumps(definition))
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    with pytest.raises(InputError, match="im_start") as error:
        _ = tokenizer.im_start_id
    assert "lumi tokenizer import" in str(error.value)
