"""A SentencePiece `.model` as a `tokenizer.json` with the same ids.

A model file (Kudo and Richardson 2018) is one protocol-buffer message: pieces with scores and types, how it was
trained, how text is normalised; only a dozen fields matter here, so they are read without that library. A BPE model
has scores in the place of merges: of all neighbours, the two are joined whose union is the piece with the highest
score. Every way to part a piece in two pieces is therefore a merge, in the order of the scores. A unigram model is
taken as it is.

Two things keep text from being taken for something else. Pieces that are no text (bytes, control tokens) take part in
no merge. And a unigram model, which would find them spelled in a text, is given the text with a cut behind the first
character of each such name.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lumilab.errors import InputError
from lumilab.tokenizer.spelling import SPACE

# Numbers of fields in sentencepiece_model.proto.
PIECES, TRAINER, NORMALISER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_TYPE = 1, 2, 3
MODEL_TYPE, SPACE_AS_SUFFIX, BYTE_FALLBACK = 3, 24, 35
CHARACTER_MAP, DUMMY_PREFIX, REMOVE_SPACES, ESCAPE_SPACES = 2, 3, 4, 5

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2

Field = int | bytes


@dataclass(frozen=True)
class Piece:
    """A piece of the vocabulary; its id is its place."""

    text: str
    score: float
    type: int


@dataclass(frozen=True)
class PieceModel:
    """What a model file says.

    Attributes:
        pieces: in the order of their ids.
        model_type: UNIGRAM or BPE.
        byte_fallback: whether characters outside of the vocabulary become bytes.
        dummy_prefix: whether a space is put before the text.
        remove_spaces: whether runs of spaces become one, and those at the ends vanish.
        character_map: compiled rules of normalisation; empty for none.
    """

    pieces: Sequence[Piece]
    model_type: int
    byte_fallback: bool
    dummy_prefix: bool
    remove_spaces: bool
    character_map: bytes = field(repr=False, default=b"")

    @classmethod
    def parse(cls, data: bytes, where: str) -> PieceModel:
        """Reads a model file's content.

        Raises:
            InputError: it is none, or of a kind that has no form as a `tokenizer.json`.
        """
        try:
            fields = list(_fields(data))
            pieces = [_piece(value) for number, value in fields if number == PIECES]
            trainer = dict(_fields(_message(fields, TRAINER)))
            normaliser = dict(_fields(_message(fields, NORMALISER)))
        except (ValueError, IndexError, struct.error, TypeError):
            pieces, trainer, normaliser = [], {}, {}
        if not pieces:
            raise InputError(
                "This is not a SentencePiece model", where=where, mend="give a .model file that sentencepiece wrote."
            )
        kind = trainer.get(MODEL_TYPE, UNIGRAM)
        if kind not in (UNIGRAM, BPE) or trainer.get(SPACE_AS_SUFFIX, 0) or not normaliser.get(ESCAPE_SPACES, 1):
            raise InputError(
                "This SentencePiece model is of a kind that cannot be used: a word or character model, or one that "
                "writes spaces in an unusual way",
                where=where,
                mend="use a BPE or unigram model.",
            )
        character_map = normaliser.get(CHARACTER_MAP, b"")
        assert isinstance(kind, int)
        assert isinstance(character_map, bytes)
        return cls(
            pieces,
            kind,
            bool(trainer.get(BYTE_FALLBACK, 0)),
            bool(normaliser.get(DUMMY_PREFIX, 1)),
            bool(normaliser.get(REMOVE_SPACES, 1)),
            character_map,
        )

    def definition(self) -> dict[str, Any]:
        """The parsed `tokenizer.json`."""
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                self._added(number, piece)
                for number, piece in enumerate(self.pieces)
                if piece.type in (UNKNOWN, CONTROL, USER_DEFINED)
            ],
            "normalizer": self._normaliser(),
            "pre_tokenizer": self._cuts() if self.model_type == UNIGRAM else None,
            "post_processor": None,
            "decoder": self._decoder(),
            "model": self._unigram() if self.model_type == UNIGRAM else self._bpe(),
        }

    # --- inside ------------------------------------------------------------------------------------------------------

    def _added(self, number: int, piece: Piece) -> dict[str, Any]:
        """A piece that is found before the others. BPE takes the longest user-defined one, so runs of spaces are looked
        for after spaces have become U+2581; a unigram model weighs them like all pieces. Where a space is put before
        the text, BPE cannot have it so either: the library would put one before each such piece, too."""
        user_defined = piece.type == USER_DEFINED
        after_spaces = user_defined and self.model_type == BPE and not self.dummy_prefix
        return added_token(number, piece.text, special=not user_defined) | {"normalized": after_spaces}

    def _normaliser(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = []
        if self.character_map:
            encoded = base64.b64encode(self.character_map).decode()
            steps.append({"type": "Precompiled", "precompiled_charsmap": encoded})
        if self.remove_spaces:
            steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
            steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
        if self.dummy_prefix:
            steps.append({"type": "Prepend", "prepend": SPACE})
        steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
        return {"type": "Sequence", "normalizers": steps}

    def _decoder(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ]
        if self.dummy_prefix:
            steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
        return {"type": "Sequence", "decoders": steps}

    def _cuts(self) -> dict[str, Any]:
        """Cuts behind the first character of whatever is spelled like a piece that is no text."""
        names = [piece.text for piece in self.pieces if piece.type in (UNKNOWN, CONTROL, UNUSED)]
        ends: dict[str, list[str]] = {"<": ["0x[0-9A-F]{2}>"]}
        for name in names:
            ends.setdefault(name[0], []).append(re.escape(name[1:]))
        pattern = "|".join(f"{re.escape(first)}(?={'|'.join(sorted(rest))})" for first, rest in sorted(ends.items()))
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "MergedWithPrevious", "invert": False}

    def _bpe(self) -> dict[str, Any]:
        unknown = next((piece.text for piece in self.pieces if piece.type == UNKNOWN), None)
        return {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": self.byte_fallback,
            "ignore_merges": False,
            "vocab": {piece.text: number for number, piece in enumerate(self.pieces)},
            "merges": list(self._merges()),
        }

    def _unigram(self) -> dict[str, Any]:
        unknown = next((number for number, piece in enumerate(self.pieces) if piece.type == UNKNOWN), None)
        return {
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": [[piece.text, piece.score] for piece in self.pieces],
            "byte_fallback": self.byte_fallback,
        }

    def _merges(self) -> Iterator[list[str]]:
        places = {
            piece.text: number for number, piece in enumerate(self.pieces) if piece.type in (NORMAL, USER_DEFINED)
        }
        found = []
        for text, number in places.items():
            for cut in range(1, len(text)):
                left, right = text[:cut], text[cut:]
                if left in places and right in places:
                    found.append((-self.pieces[number].score, number, places[left], places[right], left, right))
        # Equal scores are rare; then the lower ids come first, as they do when they were learned first.
        found.sort()
        yield from ([left, right] for *_, left, right in found)


def added_token(token: int, content: str, *, special: bool) -> dict[str, Any]:
    """An entry of a `tokenizer.json`'s added tokens, found in the text as it is."""
    return {
        "id": token,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _piece(value: Field) -> Piece:
    fields = dict(_fields(value))
    text, score, kind = fields.get(PIECE_TEXT, b""), fields.get(PIECE_SCORE, bytes(4)), fields.get(PIECE_TYPE, NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(kind, int):
        raise ValueError("a field of another type")
    return Piece(text.decode(), struct.unpack("<f", score)[0], kind)


def _message(fields: Sequence[tuple[int, Field]], number: int) -> Field:
    return next((value for found, value in fields if found == number), b"")


def _fields(message: Field) -> Iterator[tuple[int, Field]]:
    """The fields of a message in the protocol-buffer wire format: numbers, and the bytes of everything else."""
    if not isinstance(message, bytes):
        raise ValueError("a number in the place of a message")
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        wire = key & 7
        if wire == 0:
            value: Field
            value, place = _varint(message, place)
        else:
            if wire == 2:
                length, place = _varint(message, place)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise ValueError("an unknown wire type")
            value, place = message[place : place + length], place + length
            if len(value) != length:
                raise ValueError("cut short")
        yield key >> 3, value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")
