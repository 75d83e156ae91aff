"""Text as it grows: whole characters from byte-level tokens, and stop strings that may span several of them.

A byte-level token may end inside a UTF-8 character. Bytes are held back until the character is whole, so nobody sees
half of one; bytes that can never become a character are shown as U+FFFD, as a decoder of the whole text would.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence

from lumilab.tokenizer.load import Tokenizer


class IncrementalDecoder:
    """Token ids in, pieces of text out. Special tokens have no text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that `token` completes; often none, when it ends inside a character.

        A character that the last token leaves incomplete is never shown.
        """
        return self._utf8.decode(self._tokenizer.token_bytes(token))


class StopStrings:
    """Passes text through until one of the strings is complete, and holds back what may become one.

    The string that is complete first counts, so how the text is cut into pieces makes no difference.

    Args:
        strings: not empty ones.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        if not all(strings):
            raise ValueError("a stop string must not be empty")
        self._strings = tuple(strings)
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """The text that is certainly before any stop string. After `found`, always empty."""
        if self.found:
            return ""
        text = self._held + piece
        found = [(text.index(string) + len(string), text.index(string)) for string in self._strings if string in text]
        if found:
            self.found = True
            self._held = ""
            _, start = min(found)
            return text[:start]
        keep = self._longest_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, once it is certain that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _longest_beginning(self, text: str) -> int:
        """How many of the last characters are the beginning of a stop string."""
        for length in range(min(len(text), max(map(len, self._strings), default=0) - 1), 0, -1):
            if any(string.startswith(text[-length:]) for string in self._strings if len(string) > length):
                return length
        return 0


def limited_newlines(pieces: Iterable[str], most: int) -> Iterator[str]:
    """The pieces without the newlines that follow `most` others directly: small models write long runs of them."""
    run = 0
    for piece in pieces:
        kept = []
        for character in piece:
            run = run + 1 if character == "\n" else 0
            if run <= most:
                kept.append(character)
        if kept:
            yield "".join(kept)
