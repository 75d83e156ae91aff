"""A tokenizer, ready to use: text to ids, ids to text, and the identity every artifact made with it records.

The standard is the `tokenizers` library and the `tokenizer.json` that other tools read too. More than a little text is
encoded by a much faster encoder (`fast.py`), once that has been seen to give the same ids. Text is data here: a text
that spells a special token is encoded as the characters it consists of, never as the token, unless a caller asks;
special ids only ever come from code that asks for them by role. Decoding joins the tokens' bytes, so any text comes
back byte by byte, unless the tokenizer itself changes text before it encodes it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tokenizers

from lumilab.errors import InputError, MismatchError
from lumilab.tokenizer.fast import FastEncoder, first_difference
from lumilab.tokenizer.identity import identity_of
from lumilab.tokenizer.probe import probe_texts
from lumilab.tokenizer.roles import KNOWN_NAMES, roles_of
from lumilab.tokenizer.spelling import (
    adds_leading_space,
    adds_trailing_space,
    bytes_of_piece,
    bytes_of_text,
    spelling_of,
)

FILE_NAME = "tokenizer.json"
FAST_FROM = 2**17
"""Characters of text from which on the fast encoder is worth loading and checking."""
SHOWN = 60  # characters of a text in a warning


class EncoderMismatch(UserWarning):
    """The fast encoder gives other ids than the reference, which is therefore used alone."""


class Tokenizer:
    """Text to token ids and back.

    Args:
        text: the content of a `tokenizer.json`.
        where: the file it came from, for messages.

    Attributes:
        identity: SHA-256 (hex) of the canonical form (`lumilab.tokenizer.identity`).
        vocabulary_size: number of token ids, special ones included; ids are 0 to one less.

    Raises:
        InputError: the content is no tokenizer.
    """

    def __init__(self, text: str, where: str = FILE_NAME) -> None:
        self._text = text
        self.where = where
        try:
            self._definition: dict[str, Any] = json.loads(text)
            self._backend = tokenizers.Tokenizer.from_str(text)
            self.identity = identity_of(self._definition)
        except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
            raise InputError(
                f"This is not a tokenizer: {error}",
                where=where,
                mend="give a tokenizer.json, or the folder of a tokenizer artifact or of a checkpoint; "
                "`lumi tokenizer import` makes one of other files.",
            ) from error
        self._roles = roles_of(self._definition)
        self._make_markers_special()
        # Some files carry settings that would cut texts short or fill them up without a word.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        ids = self._backend.get_vocab(with_added_tokens=True).values()
        if not ids:
            raise InputError("The tokenizer has no tokens", where=where, mend="give one that was trained.")
        self.vocabulary_size = 1 + max(ids)
        self._until_fast = FAST_FROM

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

    # --- text to ids -------------------------------------------------------------------------------------------------

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of a text; see `encode_batch`."""
        return self.encode_batch([text], allow_special=allow_special)[0]

    def encode_batch(self, texts: Sequence[str], *, allow_special: bool = False) -> list[list[int]]:
        """The ids of each text, without special tokens.

        Args:
            texts: any texts.
            allow_special: take the name of a special token in a text for the token.

        Raises:
            InputError: a text has no UTF-8 form (it holds a lone surrogate).
        """
        if allow_special:
            return _encoded_by(self._special_backend, texts)
        fast = self._fast_for(texts)
        if fast is None:
            return _encoded_by(self._backend, texts)
        return [ids.tolist() for ids in _encoded_fast(fast, texts)]

    def encode_arrays(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """`encode_batch` as one array per text (shape [n], uint32), which saves the time that lists of numbers take."""
        fast = self._fast_for(texts)
        if fast is None:
            return [np.asarray(ids, dtype=np.uint32) for ids in _encoded_by(self._backend, texts)]
        return _encoded_fast(fast, texts)

    def encode_flat(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """`encode_arrays` as one array of all ids, shape [tokens], and each text's number of ids, shape [texts]."""
        arrays = self.encode_arrays(texts)
        lengths = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.uint32), lengths

    def encode_reference(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_batch` by the reference alone, on all cores: what the fast encoder is compared with."""
        return _encoded_by(self._backend, texts)

    @cached_property
    def fast_encoder(self) -> FastEncoder | None:
        """The fast encoder, checked on the built-in sample; None where there is none that gives the same ids."""
        try:
            encoder = FastEncoder(self._marked_definition)
        except (ImportError, ValueError):  # not installed, or not made for this kind: then there is nothing to trust
            return None
        special = list(self._special_names.values())
        different = first_difference(encoder, self.encode_reference, [*probe_texts(special), *self._texts_of_tokens()])
        if different is None:
            return encoder
        shown = different if len(different) <= SHOWN else f"{different[:SHOWN]}..."
        warnings.warn(
            f"gigatoken encodes the text {shown!r} otherwise than the tokenizer {self.identity[:12]} of {self.where} "
            "says; everything is encoded by the slower reference instead.",
            EncoderMismatch,
            stacklevel=2,
        )
        return None

    # --- ids to text -------------------------------------------------------------------------------------------------

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
        data = b"".join(parts)
        if self._leading_space and data.startswith(b" "):
            data = data[1:]
        if self._trailing_space and data.endswith(b" "):
            data = data[:-1]
        return data.decode("utf-8", "replace")

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

    # --- special tokens ----------------------------------------------------------------------------------------------

    def role_id(self, role: str) -> int:
        """The id of the token of a role.

        Raises:
            InputError: the tokenizer has none.
        """
        name = self._roles.get(role)
        if name is None:
            raise InputError(
                f"The tokenizer has no special token for {role}: neither {' nor '.join(KNOWN_NAMES[role])}",
                where=self.where,
                mend="use a tokenizer that `lumi tokenizer import` made of it, which adds what is missing.",
            )
        token = self._backend.token_to_id(name)
        assert token is not None  # roles are played by added tokens
        return int(token)

    @property
    def pad_id(self) -> int:
        return self.role_id("pad")

    @property
    def bos_id(self) -> int:
        """The token before a text."""
        return self.role_id("bos")

    @property
    def eos_id(self) -> int:
        """The token that ends a text."""
        return self.role_id("eos")

    @property
    def unk_id(self) -> int:
        return self.role_id("unk")

    @property
    def im_start_id(self) -> int:
        """The token that begins a turn of a chat."""
        return self.role_id("im_start")

    @property
    def im_end_id(self) -> int:
        """The token that ends a turn of a chat."""
        return self.role_id("im_end")

    @property
    def think_id(self) -> int:
        return self.role_id("think")

    @property
    def end_think_id(self) -> int:
        return self.role_id("end_think")

    @property
    def roles(self) -> dict[str, str]:
        """The name of the token of each role (pad, bos, eos, unk, im_start, im_end, think, end_think) that has one."""
        return dict(self._roles)

    @property
    def special_names(self) -> dict[int, str]:
        """The special tokens' names by id."""
        return dict(self._special_names)

    # --- identity ----------------------------------------------------------------------------------------------------

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
                "`lumi run RECIPE`, which rebuilds what another tokenizer made; `lumi pack --repack DIR` encodes a "
                "dataset again.",
            )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _make_markers_special(self) -> None:
        """Some files have turn and thinking markers among ordinary tokens, which a text could then spell."""
        markers = set(self._roles.values())
        added = self._definition.get("added_tokens") or []
        self._marked_definition = self._definition
        if any(token["content"] in markers and not token["special"] for token in added):
            marked = [token | {"special": token["special"] or token["content"] in markers} for token in added]
            self._marked_definition = self._definition | {"added_tokens": marked}
            self._backend = tokenizers.Tokenizer.from_str(json.dumps(self._marked_definition))

    def _fast_for(self, texts: Sequence[str]) -> FastEncoder | None:
        """The fast encoder once there has been enough text to make loading and checking it worth while."""
        if self._until_fast > 0:
            self._until_fast -= sum(map(len, texts))
        return self.fast_encoder if self._until_fast <= 0 else None

    def _texts_of_tokens(self) -> list[str]:
        """Texts that the vocabulary is rich in: its own tokens in no order."""
        draw = np.random.default_rng(0)
        return [self.decode(draw.integers(self.vocabulary_size, size=400).tolist()) for _ in range(20)]

    @cached_property
    def _special_backend(self) -> tokenizers.Tokenizer:
        backend = tokenizers.Tokenizer.from_str(json.dumps(self._marked_definition))
        backend.no_truncation()
        backend.no_padding()
        return backend

    @cached_property
    def _special_names(self) -> dict[int, str]:
        return {token: entry.content for token, entry in self._added.items() if entry.special}

    @cached_property
    def _added(self) -> dict[int, tokenizers.AddedToken]:
        return dict(self._backend.get_added_tokens_decoder())

    @cached_property
    def _leading_space(self) -> bool:
        return adds_leading_space(self._definition)

    @cached_property
    def _trailing_space(self) -> bool:
        return adds_trailing_space(self._definition)

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        table = [b""] * self.vocabulary_size
        spelling = spelling_of(self._definition)
        for name, token in self._backend.get_vocab(with_added_tokens=True).items():
            if token in self._added:
                # SentencePiece writes the spaces in its user-defined pieces as it writes all others.
                plain = bytes_of_text if spelling in (bytes_of_piece, bytes_of_text) else str.encode
                table[token] = b"" if self._added[token].special else plain(name)
            else:
                try:
                    table[token] = spelling(name) if spelling else self._backend.decode([token]).encode()
                except KeyError:  # not of the byte alphabet: a token that somebody added by hand
                    table[token] = name.encode()
        return table


def _encoded_by(backend: tokenizers.Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    try:
        encodings = backend.encode_batch_fast(list(texts), add_special_tokens=False)
    except TypeError:
        _refuse_surrogates(texts)
        raise
    except Exception as error:  # `tokenizers` raises plain Exception: a character unknown to it, and no token for that
        raise InputError(
            f"The tokenizer cannot encode a text: {error}",
            mend="use a tokenizer that knows all characters, such as a byte-level one.",
        ) from error
    return [encoding.ids for encoding in encodings]


def _encoded_fast(encoder: FastEncoder, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
    try:
        return [encoder.encode(text) for text in texts]
    except TypeError:
        _refuse_surrogates(texts)
        raise


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
