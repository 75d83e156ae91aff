"""The fast encoder against the reference: the same ids for everything, and the reference alone where they differ."""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.errors import InputError
from lumilab.tokenizer import fast
from lumilab.tokenizer.fast import FastEncoder
from lumilab.tokenizer.load import FAST_FROM, EncoderMismatch, Tokenizer
from lumilab.tokenizer.probe import probe_texts

SPELLED = "a<|endoftext|>b <|im_start|>user<think></think><|pad|>"


@pytest.fixture(scope="module")
def neox(shared_data: Path) -> Tokenizer:
    return Tokenizer.load(shared_data / "tokenizers" / "gpt-neox-20b")


@pytest.fixture(scope="module")
def both(tokenizer: Tokenizer) -> Iterator[tuple[FastEncoder, tokenizers.Tokenizer]]:
    """The fast encoder of the small tokenizer, and the library with the same file."""
    library = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    library.encode_special_tokens = True
    assert tokenizer.fast_encoder is not None
    return tokenizer.fast_encoder, library


def library_ids(library: tokenizers.Tokenizer, text: str) -> list[int]:
    return list(library.encode(text, add_special_tokens=False).ids)


def any_text() -> st.SearchStrategy[str]:
    letters = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
    pieces = st.sampled_from(
        ["<|endoftext|>", "\r", "\n", "   ", "\t", "12", "'s", "é", "<|", "字", "🙂", "\u3000", "ſ"]
    )
    return st.lists(st.one_of(pieces, letters), max_size=12).map("".join)


@given(any_text())
@settings(max_examples=400)
def test_any_text_has_the_librarys_ids(both: tuple[FastEncoder, tokenizers.Tokenizer], text: str) -> None:
    encoder, library = both
    assert encoder.encode(text).tolist() == library_ids(library, text)


@pytest.mark.parametrize("plane", range(17))
def test_every_plane_has_the_librarys_ids(both: tuple[FastEncoder, tokenizers.Tokenizer], plane: int) -> None:
    encoder, library = both
    codes = range(plane << 16, min((plane + 1) << 16, sys.maxunicode + 1), 3)
    characters = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    for text in ("".join(characters), " ".join(characters), "a".join(characters)):
        assert encoder.encode(text).tolist() == library_ids(library, text)


def test_the_vectors_of_gpt_neox(neox: Tokenizer, shared_data: Path) -> None:
    lines = (shared_data / "tokenizers" / "vectors-generated" / "gpt-neox-20b.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in lines.splitlines()]
    assert neox.fast_encoder is not None
    assert [neox.fast_encoder.encode(record["text"]).tolist() for record in records] == [r["ids"] for r in records]
    assert neox.encode_batch([record["text"] for record in records]) == [record["ids"] for record in records]


def test_a_special_tokens_name_is_text_on_both_paths(tokenizer: Tokenizer) -> None:
    assert tokenizer.fast_encoder is not None
    ids = tokenizer.fast_encoder.encode(SPELLED).tolist()
    assert ids == tokenizer.encode_reference([SPELLED])[0]
    assert min(ids) >= 72
    assert tokenizer.decode(ids) == SPELLED


def test_special_tokens_are_seen_by_who_asks(tokenizer: Tokenizer) -> None:
    library = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    asked = tokenizer.encode(SPELLED, allow_special=True)
    assert asked == library_ids(library, SPELLED)
    assert {tokenizer.eos_id, tokenizer.im_start_id, tokenizer.think_id} < set(asked)


def test_little_text_does_not_load_it_and_much_does(tokenizer: Tokenizer) -> None:
    fresh = Tokenizer(tokenizer.to_json())
    fresh.encode("a few words")
    assert "fast_encoder" not in vars(fresh)
    texts = ["the river and the bridge " * 5] * (FAST_FROM // 100)
    assert fresh.encode_batch(texts) == fresh.encode_reference(texts)
    assert fresh.fast_encoder is not None


def test_arrays_and_lists_hold_the_same_ids(tokenizer: Tokenizer) -> None:
    texts = ["", "the bridge", *probe_texts()[:20]]
    lists = tokenizer.encode_reference(texts)
    assert tokenizer.fast_encoder is not None
    for each in (tokenizer, Tokenizer(tokenizer.to_json())):
        arrays = each.encode_arrays(texts)
        assert [array.tolist() for array in arrays] == lists
        assert {array.dtype for array in arrays} == {np.dtype(np.uint32)}
        flat, lengths = each.encode_flat(texts)
        assert lengths.tolist() == [len(ids) for ids in lists]
        assert flat.tolist() == [token for ids in lists for token in ids]
    assert tokenizer.encode_flat([])[0].size == 0


def test_another_answer_is_said_with_the_text_and_not_used(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(FastEncoder):
        def encode(self, text: str) -> Any:
            ids = super().encode(text)
            return ids[:-1] if "Привет" in text else ids

    monkeypatch.setattr("lumilab.tokenizer.load.FastEncoder", Wrong)
    fresh = Tokenizer(tokenizer.to_json())
    texts = ["Привет, " * 10] * (FAST_FROM // 50)
    with pytest.warns(EncoderMismatch, match="Привет"):
        assert fresh.encode_batch(texts) == fresh.encode_reference(texts)
    assert fresh.fast_encoder is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh.encode_batch(texts)  # once is enough


def test_without_gigatoken_the_reference_encodes(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gigatoken", "gigatoken.gigatoken_rs"):
        monkeypatch.setitem(sys.modules, name, None)
    fresh = Tokenizer(tokenizer.to_json())
    assert fresh.fast_encoder is None
    assert fresh.encode("the river " * FAST_FROM) == fresh.encode_reference(["the river " * FAST_FROM])[0]


def test_built_anew_it_gives_the_same_ids(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "CACHE_BYTES", -1)
    monkeypatch.setattr(fast, "LOOK_EVERY", 100)
    built: list[str] = []
    original = fast._loaded
    monkeypatch.setattr(fast, "_loaded", lambda definition: (built.append(definition), original(definition))[1])
    encoder = FastEncoder(json.loads(tokenizer.to_json()))
    texts = ["the morning paints a bridge " * 3] * 20
    assert [encoder.encode(text).tolist() for text in texts] == tokenizer.encode_reference(texts)
    assert len(built) > 5


def test_a_lone_surrogate_is_refused_on_the_fast_path_too(tokenizer: Tokenizer) -> None:
    fresh = Tokenizer(tokenizer.to_json())
    fresh.encode_batch(["x" * FAST_FROM])
    with pytest.raises(InputError, match="surrogate"):
        fresh.encode_arrays(["fine", "ab\ud800"])


def test_the_sample_has_every_kind_of_text() -> None:
    texts = probe_texts(["<|mine|>"])
    joined = "".join(texts)
    assert texts == probe_texts(["<|mine|>"])
    assert 80_000 < len(joined.encode()) < 250_000
    for part in (
        "<|endoftext|>",
        "a<|mine|>b",
        "日本語",
        "👩‍👩‍👧‍👦",
        "\x00",
        " " * 5_000,
        "def f(",
        "\r\n",
        "1234567890",
    ):
        assert part in joined
    assert {ord(character) >> 16 for character in joined} == set(range(17))


@pytest.mark.long
def test_one_line_of_ten_megabytes(neox: Tokenizer, tokenizer: Tokenizer) -> None:
    draw = random.Random(0)
    words = " ".join(probe_texts()).replace("\n", "").split(" ")
    line = " ".join(draw.choices(words, k=2_000_000))[:10_000_000]
    for each in (tokenizer, neox):
        assert each.fast_encoder is not None
        assert each.fast_encoder.encode(line).tolist() == each.encode_reference([line])[0]
    for unbroken in ("a" * 10_000_000, " " * 10_000_000, "字" * 3_000_000):
        assert tokenizer.decode(tokenizer.encode(unbroken)) == unbroken


@pytest.mark.long
def test_all_of_wikipedia(
    neox: Tokenizer, tokenizer: Tokenizer, wikipedia: list[Path], articles: Callable[[Path], list[str]]
) -> None:
    assert len(wikipedia) == 10
    for each in (tokenizer, neox):
        encoder = each.fast_encoder
        assert encoder is not None
        for texts in map(articles, wikipedia):
            assert [encoder.encode(text).tolist() for text in texts] == each.encode_reference(texts)
