"""The reserved ids are a promise to every checkpoint and export: written out here once more, by hand."""

from __future__ import annotations

import json

import pytest

from lumilab.artifact import Artifact
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.special_tokens import RESERVED

FIXED = {
    "<|pad|>": 0,
    "<|bos|>": 1,
    "<|endoftext|>": 2,
    "<|unk|>": 3,
    "<|im_start|>": 4,
    "<|im_end|>": 5,
    "<think>": 6,
    "</think>": 7,
    "<|spare_0|>": 8,
    "<|spare_63|>": 71,
}


def test_seventy_two_ids_are_reserved() -> None:
    assert len(RESERVED) == len(set(RESERVED)) == 72
    assert {name: RESERVED.index(name) for name in FIXED} == FIXED


def test_a_trained_tokenizer_has_them_at_their_places(trained: Artifact) -> None:
    definition = json.loads((trained.path / "tokenizer.json").read_text(encoding="utf-8"))
    added = {entry["content"]: entry["id"] for entry in definition["added_tokens"]}
    assert added == {name: number for number, name in enumerate(RESERVED)}
    assert all(entry["special"] and not entry["normalized"] for entry in definition["added_tokens"])


def test_the_loaded_tokenizer_knows_them_by_name(tokenizer: Tokenizer) -> None:
    named = (
        tokenizer.pad_id,
        tokenizer.bos_id,
        tokenizer.eos_id,
        tokenizer.unk_id,
        tokenizer.im_start_id,
        tokenizer.im_end_id,
        tokenizer.think_id,
        tokenizer.end_think_id,
    )
    assert named == (0, 1, 2, 3, 4, 5, 6, 7)


def test_the_256_bytes_follow_the_reserved_ids(tokenizer: Tokenizer) -> None:
    assert sorted(tokenizer.token_bytes(token) for token in range(72, 328)) == [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize("name", ["<|pad|>", "<|endoftext|>", "<|im_start|>", "<think>", "</think>", "<|spare_63|>"])
def test_text_that_spells_a_reserved_token_is_text(tokenizer: Tokenizer, name: str) -> None:
    for text in (name, f"a{name}b", f" {name} {name}\n"):
        ids = tokenizer.encode(text)
        assert min(ids) >= len(RESERVED)
        assert tokenizer.decode(ids) == text
