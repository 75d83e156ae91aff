"""The byte alphabet, against the one in the `tokenizers` library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from lumilab.tokenizer.byte_level import byte_of_character, bytes_of_token


def test_the_alphabet_is_the_librarys() -> None:
    assert set(byte_of_character()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_of_character().values()) == list(range(256))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_spelled_bytes_are_the_texts(text: str) -> None:
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert b"".join(bytes_of_token(piece) for piece, _ in spelled) == text.encode()


def test_other_characters_are_no_bytes() -> None:
    with pytest.raises(KeyError):
        bytes_of_token("東")
