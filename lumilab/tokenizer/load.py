"""A trained tokenizer, ready to use: text to ids, ids to text, and the identity every artifact made with it records.

Encoding is done by the `tokenizers` library from the `tokenizer.json` that other tools read too. Text is data here:
a text that spells a special token is encoded as the characters it consists of, never as the token; special ids only
ever come from code that asks for them by name. Decoding joins the tokens' bytes, so any text comes back byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import tokenizers

from lumilab.errors import InputError, MismatchError
from lumilab.tokenizer import special_tokens
from lumilab.tokenizer.byte_level import bytes_of_token
from lumilab.tokenizer.identity import identity_of

FILE_NAME = "tokenizer.json"


class Tokenizer:
    """Text to token ids and back.

    Args:
        text: the content of a `tokenizer.json`.
        where: the file it came from, for messages.

    Attributes:
        identity: SHA-256 (hex) of the canonical form (`lumilab.tokenizer.identity`).
        vocabulary_size: number of token ids, special ones included; ids are 0 to one less.
        pad_id, bos_id, eos_id, unk_id, im_start_id, im_end_id, think_id, end_think_id: the special tokens.

    Raises:
        InputError: the content is no tokenizer, or one without the special tokens.
    """

    def __init__(self, text: str, where: str = FILE_NAME) -> None:
        self._text = text
        self.where = where
        try:
            definition = json.loads(text)
            self._backend = tokenizers.Tokenizer.from_str(text)
            self.identity = identity_of(definition)
        except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
            raise InputError(
                f"This is not a tokenizer: {error}",
                where=where,
                mend="give a tokenizer.json, or the folder of a tokenizer artifact or of a checkpoint.",
            ) from error
        # Some files carry settings that would cut texts short or fill them up without a word.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        self.vocabulary_size = 1 + max(self._backend.get_vocab(with_added_tokens=True).values())
        self.pad_id = self._special_id(special_tokens.PAD)
        self.bos_id = self._special_id(special_tokens.BOS)
        self.eos_id = self._special_id(special_tokens.EOS)
        self.unk_id = self._special_id(special_tokens.UNK)
        self.im_start_id = self._special_id(special_tokens.IM_START)
        self.im_end_id = self._special_id(special_tokens.IM_END)
        self.think_id = self._special_id(special_tokens.THINK)
        self.end_think_id = self._special_id(special_tokens.END_THINK)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Loads from a `tokenizer.json`, or from a folder that has one.

        Raises:
            InputError: there is none, or it cannot be read as a tokenizer.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                "There is no tokenizer here",
                where=str(file),
                mend="give a tokenizer.json, or the folder of a tokenizer artifact or of a checkpoint.",
            ) from None
        except UnicodeDecodeError as error:
            raise InputError("This is not a tokenizer: it is not UTF-8 text", where=str(file)) from error
        return cls(text, str(file))

    def encode(self, text: str) -> list[int]:
        """The ids of a text; see `encode_batch`."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens, on all cores.

        Raises:
            InputError: a text has no UTF-8 form (it holds a lone surrogate).
        """
        try:
            encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError:
            _refuse_surrogates(texts)
            raise
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int], keep_special: bool = False) -> str:
        """The text of the ids. Bytes that are no whole character become U+FFFD.

        Args:
            ids: token ids.
            keep_special: show special tokens by name; otherwise they are left out.

        Raises:
            InputError: an id is not in the vocabulary.
        """
        special = self._special_names if keep_special else {}
        parts = [special[token].encode() if token in special else self.token_bytes(token) for token in ids]
        return b"".join(parts).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id; none for a special token.

        Raises:
            InputError: the id is not in the vocabulary.
        """
        if not 0 <= token < self.vocabulary_size:
            raise InputError(
                f"The vocabulary has no token {token}: its ids are 0 to {self.vocabulary_size - 1}", where=self.where
            )
        return self._token_bytes[token]

    def to_json(self) -> str:
        """The `tokenizer.json` it was loaded from, unchanged."""
        return self._text

    def check_same(self, identity: str, whose: str) -> None:
        """Refuses to be used with something made with another tokenizer.

        Args:
            identity: the identity recorded there.
            whose: what it is, for example "the dataset runs/a/dataset/0a1b".

        Raises:
            MismatchError: the identities differ.
        """
        if identity != self.identity:
            raise MismatchError(
                f"The tokenizer {self.identity[:12]} is not the one of {whose}, which was made with {identity[:12]}",
                where=self.where,
                mend=f"use the tokenizer with which {whose} was made, or make it again from its recipe with "
                "`lumi run RECIPE`, which rebuilds what another tokenizer made.",
            )

    def _special_id(self, name: str) -> int:
        token = self._backend.token_to_id(name)
        if token is None or token not in self._special_names:
            raise InputError(
                f"The tokenizer has no special token {name}",
                where=self.where,
                mend="use a tokenizer trained with lumilab, which reserves it.",
            )
        return int(token)

    @cached_property
    def _special_names(self) -> dict[int, str]:
        added = self._backend.get_added_tokens_decoder()
        return {token: entry.content for token, entry in added.items() if entry.special}

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        table = [b""] * self.vocabulary_size
        for name, token in self._backend.get_vocab(with_added_tokens=False).items():
            if token not in self._special_names:
                table[token] = bytes_of_token(name)
        return table


def _refuse_surrogates(texts: Sequence[str]) -> None:
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                "A text holds half of a surrogate pair, which is no character",
                where=f"text {number} of the batch, character {error.start}",
                mend="replace it, for example with text.encode('utf-8', 'replace').decode().",
            ) from None
