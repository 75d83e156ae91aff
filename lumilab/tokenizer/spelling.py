"""What bytes a token stands for, in the ways in which vocabularies spell them.

Byte-level vocabularies (GPT-2 and most since) write every byte as one character of an alphabet. SentencePiece
vocabularies (Kudo and Richardson 2018) write text as it is, a space as U+2581, and a byte that is part of no piece as
`<0x0A>`. Older ones write no spaces at all: words begin where a prefix is missing, or end with a suffix. Added tokens
are written as themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lumilab.tokenizer.byte_level import bytes_of_token

SPACE = "\u2581"
BYTE = re.compile("<0x([0-9A-F]{2})>")

Spelling = Callable[[str], bytes]


def spelling_of(definition: Mapping[str, Any]) -> Spelling | None:
    """How the vocabulary of a parsed `tokenizer.json` is read; None where it is in none of these ways."""
    kinds = {step.get("type") for part in ("decoder", "pre_tokenizer") for step in steps(definition.get(part))}
    if "ByteLevel" in kinds:
        return bytes_of_token
    normal = json.dumps(definition.get("normalizer"), ensure_ascii=False)
    if "Metaspace" in kinds or SPACE in normal:
        return bytes_of_piece if definition["model"].get("byte_fallback") else bytes_of_text
    return _of_whole_words(definition)


def _of_whole_words(definition: Mapping[str, Any]) -> Spelling | None:
    """The spellings in which a space is nowhere written: it stands before (or, with a suffix, behind) a word."""
    decoder = _decoder(definition)
    if decoder["type"] == "WordPiece":
        prefix = decoder["prefix"]
        return lambda name: name[len(prefix) :].encode() if prefix and name.startswith(prefix) else f" {name}".encode()
    if decoder["type"] == "BPEDecoder":
        suffix = decoder["suffix"]
        return lambda name: f"{name[: -len(suffix)]} ".encode() if name.endswith(suffix) else name.encode()
    return None


def adds_leading_space(definition: Mapping[str, Any]) -> bool:
    """Whether encoding puts a space before the text, which decoding has to take away again."""
    for step in steps(definition.get("normalizer")):
        if step.get("type") == "Prepend" and step.get("prepend") == SPACE:
            return True
    for step in steps(definition.get("pre_tokenizer")):
        if step.get("type") == "Metaspace":
            return step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space", True) is not False
        if step.get("type") == "ByteLevel" and step.get("add_prefix_space"):
            return True
    return bool(_decoder(definition)["type"] == "WordPiece")


def adds_trailing_space(definition: Mapping[str, Any]) -> bool:
    """Whether decoding leaves a space behind the last word, which has to be taken away again."""
    return bool(_decoder(definition)["type"] == "BPEDecoder")


def _decoder(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The decoder; without one the library joins tokens with spaces, as with a prefix that no token has."""
    decoder: Mapping[str, Any] | None = definition.get("decoder")
    byte_level = "ByteLevel" in {step.get("type") for step in steps(definition.get("pre_tokenizer"))}
    return decoder or ({"type": "ByteLevel"} if byte_level else {"type": "WordPiece", "prefix": ""})


def bytes_of_piece(piece: str) -> bytes:
    """The bytes of a SentencePiece piece where single bytes are spelled `<0xNN>`."""
    found = BYTE.fullmatch(piece)
    return bytes([int(found[1], 16)]) if found else bytes_of_text(piece)


def bytes_of_text(piece: str) -> bytes:
    """The bytes of a SentencePiece piece without that."""
    return piece.replace(SPACE, " ").encode()


def steps(part: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A normaliser, pre-tokenizer or decoder, or each of those that it is a sequence of."""
    if part is None:
        return
    yield part
    for name in ("normalizers", "pretokenizers", "decoders"):
        for inner in part.get(name, []):
            yield from steps(inner)
