"""Text to ids and back: nothing lost, and the same ids as other readers of the file give."""

from __future__ import annotations

import unicodedata

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lumilab.artifact import Artifact
from lumilab.errors import InputError
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.special_tokens import RESERVED

HARD_TEXTS = [
    "",
    " ",
    "\r",
    "\r\n\r\n \r",
    "a\rb\r\nc\n\n\n  d",
    "\x00\x01\x1b[0m\x7f\x85\u2028\u2029\ufeff",
    "1234567890 ١٢٣ ⅷ ²",
    "can't CAN'T we'LL 'ſ",
    "👩‍👩‍👧‍👦🇯🇵🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "e\u0301 é \u1100\u1161\u11a8 각",
    "日本語、中文。한국어",
    "\u202eright to left\u202c",
    "\U0010ffff\U000f0000\ue000",
    "x" * 5000,
    " " * 5000 + "end",
    "`" * 300,
]


def any_text() -> st.SearchStrategy[str]:
    everyday = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200)
    pieces = st.sampled_from([*RESERVED[:9], "\r", "\n", "  ", "\t", "12", "'s", "é", "<|", "|>", "🙂"])
    return st.one_of(everyday, st.lists(st.one_of(pieces, everyday), max_size=12).map("".join))


@pytest.fixture(scope="module")
def other_reader(trained: Artifact) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_file=str(trained.path / "tokenizer.json"))


@pytest.mark.parametrize("text", HARD_TEXTS, ids=lambda text: ascii(text[:16]))
def test_hard_texts_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(any_text())
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert all(token >= len(RESERVED) for token in ids)


@given(any_text())
@settings(max_examples=200, deadline=None)
def test_ids_are_those_of_transformers(tokenizer: Tokenizer, other_reader: PreTrainedTokenizerFast, text: str) -> None:
    theirs = other_reader.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.encode(text) == theirs


def test_every_plane_comes_back(tokenizer: Tokenizer) -> None:
    for plane in range(17):
        assigned = [
            chr(code) for code in range(plane << 16, (plane + 1) << 16, 7) if unicodedata.category(chr(code)) != "Cs"
        ]
        text = "".join(assigned)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_batch_gives_what_its_texts_give_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_batch(HARD_TEXTS) == [tokenizer.encode(text) for text in HARD_TEXTS]
    assert tokenizer.encode_batch([]) == []


def test_digits_are_single(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_bytes(token) for token in tokenizer.encode("1984")] == [b"1", b"9", b"8", b"4"]


@given(st.lists(st.integers(0, 511), max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_ids_decode_as_the_library_decodes_them(tokenizer: Tokenizer, trained: Artifact, ids: list[int]) -> None:
    ids = [token for token in ids if token < tokenizer.vocabulary_size]
    library = tokenizers.Tokenizer.from_file(str(trained.path / "tokenizer.json"))
    assert tokenizer.decode(ids) == library.decode(ids, skip_special_tokens=True)
    assert tokenizer.decode(ids, keep_special=True) == library.decode(ids, skip_special_tokens=False)


def test_special_tokens_show_only_when_asked(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.bos_id, *tokenizer.encode("hello"), tokenizer.eos_id]
    assert tokenizer.decode(ids) == "hello"
    assert tokenizer.decode(ids, keep_special=True) == "<|bos|>hello<|endoftext|>"
    assert tokenizer.token_bytes(tokenizer.eos_id) == b""


def test_half_a_character_decodes_to_the_replacement_character(tokenizer: Tokenizer) -> None:
    by_bytes = {tokenizer.token_bytes(token): token for token in range(72, 328)}
    assert tokenizer.decode([by_bytes[b"\xc3"], by_bytes[b"a"]]) == "\ufffda"
    assert tokenizer.decode([by_bytes[b"\xc3"], by_bytes[b"\xa9"]]) == "é"


@pytest.mark.parametrize("token", [-1, 10**6])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(InputError, match=str(token)):
        tokenizer.decode([token])


def test_a_lone_surrogate_is_refused_by_place(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError) as error:
        tokenizer.encode_batch(["fine", "ab\ud800"])
    assert "text 1" in str(error.value)
    assert "character 2" in str(error.value)


# --- other ways to spell ---------------------------------------------------------------------------------------------


def word_tokenizer(model: models.Model, decoder: decoders.Decoder | None) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if decoder is not None:
        backend.decoder = decoder
    return backend


WORDS = ["hello", "world", "hi"]
SUFFIXED = {"h": 0, "i</w>": 1, "hi</w>": 2, "o</w>": 3}


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        (
            word_tokenizer(
                models.WordPiece({"[UNK]": 0, "he": 1, "##llo": 2, "world": 3}, unk_token="[UNK]"),
                decoders.WordPiece(cleanup=False),
            ),
            "hello world",
        ),
        (word_tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="hi"), None), "hello world hi"),
        (
            word_tokenizer(models.BPE(SUFFIXED, [("h", "i</w>")], end_of_word_suffix="</w>"), decoders.BPEDecoder()),
            "hi hi",
        ),
    ],
    ids=["WordPiece", "WordLevel", "BPE with a suffix"],
)
def test_vocabularies_that_write_no_spaces(backend: tokenizers.Tokenizer, text: str) -> None:
    ours = Tokenizer(backend.to_str())
    ids = ours.encode(text)
    assert ids == backend.encode(text).ids
    assert ours.decode(ids) == backend.decode(ids) == text


def test_a_tokenizer_that_cannot_encode_a_text_says_so() -> None:
    ours = Tokenizer(word_tokenizer(models.WordLevel({"hello": 0}, unk_token="[UNK]"), None).to_str())
    with pytest.raises(InputError, match="cannot encode a text"):
        ours.encode("goodbye")


def test_a_tokenizer_without_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="no tokens"):
        Tokenizer(tokenizers.Tokenizer(models.BPE()).to_str())
