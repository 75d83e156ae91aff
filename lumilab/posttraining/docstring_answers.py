"""What a docstring says first, as one short piece of prose: the answer to "What does json.dumps do?".

Docstrings follow PEP 257: a summary, then details in whatever layout. The summary and, where it is short, the first
paragraph of prose after it are kept; signatures, lists of arguments, examples and markup are not. Nothing is rewritten
beyond that, so every answer is the library's own wording.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_WORDS = 55
ENOUGH_WORDS = 18  # a summary this long needs no second paragraph
MIN_WORDS = 2

# `dumps(obj) -> str`, `B.upper() -> copy of B`, `D.pop(k[,d]) -> v, remove the key`, `D.count(x) -- number of x`.
_SIGNATURE = re.compile(
    r"^[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)$|^[\w.]+\(.*\)\s*(?P<arrow>-+>|=>|--|:)\s*(?P<result>.*)$"
)
# `@param x: ...`, `:return: ...`, `x -- ...`, `Args:`, `>>> ...`, `* item`, `1. item`, underlined headings.
_NO_PROSE = re.compile(r"^(?:[@:]\w+|>>>|\.\. |[-*+•] |\d+[.)] |[-=~^#*_]{3,}|\w[\w ]{0,30}:$|\w+(?:, \w+)* +-- )")
_ROLE = re.compile(r":(?:\w+:)?\w+:`~?([^`<>]+?)(?:\s*<[^`]*>)?`")
_QUOTED = re.compile(r"``([^`]+)``|`([^`']+)[`']|\*\*([^*\s][^*]*)\*\*|(?<![\w*])\*(\w+)\*(?![\w*])")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!cf\.)(?<!vs\.)\s+(?=[A-Z\"'(])")


def answer_from(docstring: str) -> str | None:
    """The beginning of a docstring as sentences of at most MAX_WORDS words, or None when it does not begin with prose.

    Args:
        docstring: dedented.
    """
    paragraphs = list(_prose(docstring)) or list(_told_by_signature(docstring))
    if not paragraphs:
        return None
    kept = _sentences(_capitalised(paragraphs[0]), MAX_WORDS)
    words = len(kept.split())
    if kept and words < ENOUGH_WORDS and len(paragraphs) > 1:
        more = _sentences(paragraphs[1], MAX_WORDS - words)
        kept = f"{kept} {more}".strip()
    return kept if len(kept.split()) >= MIN_WORDS else None


def _prose(docstring: str) -> Iterator[str]:
    """The leading paragraphs of prose, without markup, each on one line; ends at the first block of anything else."""
    found = False
    for block in re.split(r"\n[ \t]*\n", docstring.strip("\n")):
        lines = _after_signature(block.splitlines())
        if not lines:
            continue
        prose = _before_details(lines)
        text = _plain(" ".join(line.strip() for line in prose))
        complete = _without_announcement(text)
        if complete and (not found or prose == lines):
            found = True
            yield complete
        if prose != lines or complete != text:
            return


def _after_signature(lines: list[str]) -> list[str]:
    """Without the signatures that docstrings of compiled functions begin with, and their continuation lines."""
    rest = lines
    while rest and _SIGNATURE.match(rest[0].strip()):
        rest = rest[1:]
        while rest and rest[0].startswith((" ", "\t")):
            rest = rest[1:]
    return rest


def _told_by_signature(docstring: str) -> Iterator[str]:
    """What the first signature says of the result, where that is all there is."""
    match = _SIGNATURE.match(docstring.strip().partition("\n")[0])
    result = match["result"] if match and match["arrow"] else ""
    if match and match["arrow"] == "->":
        value, _, more = result.partition(", ")
        result = more if len(value.split()) == 1 else result
    if len(result.split()) > 2:
        yield _plain(result)


def _before_details(lines: list[str]) -> list[str]:
    """The lines of prose before arguments, lists, examples and whatever else is set in."""
    for number, line in enumerate(lines):
        if _NO_PROSE.match(line.strip()) or line.startswith((" ", "\t")):
            return lines[:number]
    return lines


def _without_announcement(text: str) -> str:
    """Without a last sentence that announces what is not kept, such as a list."""
    sentences = _SENTENCE_END.split(text)
    if sentences[-1].endswith((":", "e.g.", "i.e.", "...")):
        sentences.pop()
    return " ".join(sentences)


def _plain(text: str) -> str:
    """Without markup, white space folded, ending as a sentence."""
    text = _ROLE.sub(r"\1", text)
    text = _QUOTED.sub(lambda match: next(group for group in match.groups() if group is not None), text)
    text = " ".join(text.split())
    if text and not text.endswith((".", "!", "?", ":", ".)")):
        text = text.rstrip(",;-") + "."
    return text


def _capitalised(text: str) -> str:
    """Beginning with a capital, unless it begins with a name."""
    return text if re.match(r"\w*[._(\d]", text) else text[:1].upper() + text[1:]


def _sentences(text: str, limit: int) -> str:
    """As many whole sentences from the beginning as have at most `limit` words together."""
    kept: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        limit -= len(sentence.split())
        if limit < 0:
            break
        kept.append(sentence)
    return " ".join(kept)
