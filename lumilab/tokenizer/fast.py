"""The fast encoder: gigatoken, used only where it is seen to give the ids of the reference.

gigatoken (github.com/marcelroed/gigatoken) splits text with SIMD and remembers the ids of the pieces it has met, which
makes it several tens of times faster than `tokenizers`, the library whose ids are the standard here. Two of its habits
are held in check. It takes a special token's name in a text for the token, so it is given a definition without them.
And it never forgets a piece, so it is built anew when it has grown too large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import psutil

CACHE_BYTES = 512 << 20
"""How much the process may grow before the encoder, with what it remembers, is built anew."""
LOOK_EVERY = 16 << 20  # characters of text between two looks at the process's size

Ids = npt.NDArray[np.uint32]
Reference = Callable[[Sequence[str]], list[list[int]]]


class Encoder(Protocol):
    """What gigatoken's two kinds of encoder have in common."""

    def encode(self, text: str) -> Ids: ...


class FastEncoder:
    """Text to ids, on the calling thread.

    Args:
        definition: a parsed `tokenizer.json`.

    Raises:
        ImportError: gigatoken is not installed.
        ValueError: gigatoken cannot encode as the definition says.
    """

    def __init__(self, definition: dict[str, Any]) -> None:
        # Added tokens that are not special (such as runs of spaces) are part of how text is encoded, and stay.
        kept = [token for token in definition.get("added_tokens") or [] if not token["special"]]
        self._definition = json.dumps(definition | {"added_tokens": kept, "truncation": None, "padding": None})
        self._process = psutil.Process()
        self._build()

    def encode(self, text: str) -> Ids:
        """The ids of a text, shape [n], uint32.

        Raises:
            TypeError: it holds a lone surrogate.
        """
        self._until_look -= len(text)
        if self._until_look < 0:
            self._look()
        return self._encoder.encode(text)

    def _build(self) -> None:
        self._encoder = _loaded(self._definition)
        self._size = self._process.memory_info().rss
        self._until_look = LOOK_EVERY

    def _look(self) -> None:
        self._until_look = LOOK_EVERY
        if self._process.memory_info().rss - self._size > CACHE_BYTES:
            self._build()


def first_difference(encoder: FastEncoder, reference: Reference, texts: Sequence[str]) -> str | None:
    """The first of the texts to which the two give other ids, or None."""
    for text, expected in zip(texts, reference(texts), strict=True):
        if encoder.encode(text).tolist() != expected:
            return text
    return None


def _loaded(definition: str) -> Encoder:
    from gigatoken.gigatoken_rs import load_hf_json

    try:
        return load_hf_json(definition)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what it cannot do, it may also say with a panic, which is no Exception
        raise ValueError(str(error)) from None
