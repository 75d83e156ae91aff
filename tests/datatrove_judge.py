"""datatrove's verdicts on a text, with its reasons in our words: the reference for the quality filters.

The code that made the first FineWeb, before datatrove changed the rules in December 2024, is no longer in datatrove;
`first_fineweb` works out what it did with Python's own string methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.c4_filters import C4ParagraphFilter
from datatrove.pipeline.filters.gopher_repetition_filter import find_duplicates
from datatrove.utils.text import split_into_words

REASONS = {
    "gopher_repetition": {
        "empty": "empty",
        "dup_para_frac": "duplicate paragraphs",
        "dup_para_char_frac": "characters in duplicate paragraphs",
        "dup_line_frac": "duplicate lines",
        "dup_line_char_frac": "characters in duplicate lines",
    }
    | {f"top_{size}_gram": f"top {size}-gram" for size in (2, 3, 4)}
    | {f"duplicated_{size}_n_grams": f"duplicate {size}-grams" for size in range(5, 11)},
    "gopher_quality": {
        "gopher_short_doc": "too few words",
        "gopher_long_doc": "too many words",
        "gopher_below_avg_threshold": "mean word length",
        "gopher_above_avg_threshold": "mean word length",
        "gopher_too_many_hashes": "hashes",
        "gopher_too_many_ellipsis": "ellipses",
        "gopher_too_many_bullets": "bullet lines",
        "gopher_too_many_end_ellipsis": "lines ending in an ellipsis",
        "gopher_below_alpha_threshold": "words without letters",
        "gopher_enough_stop_words": "stop words",
    },
    "c4": {
        "lorem_ipsum": "lorem ipsum",
        "curly_bracket": "curly bracket",
        "too_few_sentences": "too few sentences",
    },
    "c4_paragraphs": {"< 3 paragraphs": "too few long lines"},
    "fineweb": {
        "empty": "empty",
        "line_punct_ratio": "lines without punctuation",
        "short_line_ratio": "short lines",
        "char_dup_ratio": "duplicate lines",
        "list_ratio": "new lines per word",
    },
}
_ASCII_STOPS = (".", "?", "!", '"', "'")


@dataclass(frozen=True)
class Judgement:
    """The text, perhaps changed, and why it is dropped."""

    text: str
    reason: str | None


Judge = Callable[[str], Judgement]


def datatrove_filter(section: str, judge: Any) -> Judge:
    """One of datatrove's filters, with the name of our section for the same rules."""

    def decide(text: str) -> Judgement:
        document = Document(text=text, id="")
        answer = judge.filter(document)
        kept, reason = answer if isinstance(answer, tuple) else (answer, None)
        return Judgement(document.text, None if kept else f"{section}: {REASONS[section][reason]}")

    return decide


def first_fineweb(text: str, repeated: float = 0.01, new_lines: float | None = 0.3) -> Judgement:
    """The rules on lines as the code had them that made FineWeb: blank lines are lines, the threshold itself drops."""
    lines = text.split("\n")
    counted = [line for line in lines if line.strip()]
    if not counted:
        return Judgement(text, "fineweb: empty")
    if sum(line.endswith(_ASCII_STOPS) for line in lines) / len(lines) <= 0.12:
        return Judgement(text, "fineweb: lines without punctuation")
    if sum(len(line) <= 30 for line in lines) / len(lines) >= 0.67:
        return Judgement(text, "fineweb: short lines")
    again = find_duplicates(counted)[1]
    if again / (len(text) - text.count("\n")) >= repeated:
        return Judgement(text, "fineweb: duplicate lines")
    if new_lines is not None and text.count("\n") / len(split_into_words(text)) > new_lines:
        return Judgement(text, "fineweb: new lines per word")
    return Judgement(text, None)


def all_judges() -> dict[str, tuple[dict[str, Any], tuple[Judge, ...]]]:
    """By name: the recipe's filters, and the judges that a text has to pass one after the other for the same."""
    repetition = datatrove_filter("gopher_repetition", GopherRepetitionFilter())
    by_lines = GopherRepetitionFilter(dup_para_frac=None, dup_para_char_frac=None, dup_line_char_frac=None)
    repeated_lines = datatrove_filter("gopher_repetition", by_lines)
    quality = datatrove_filter("gopher_quality", GopherQualityFilter())
    c4 = datatrove_filter("c4", C4QualityFilter())
    any_line = datatrove_filter("c4", C4QualityFilter(filter_no_terminal_punct=False))
    paragraphs = datatrove_filter("c4_paragraphs", C4ParagraphFilter())
    fineweb = datatrove_filter("fineweb", FineWebQualityFilter())
    fineweb_2 = datatrove_filter("fineweb", FineWebQualityFilter(short_line_thr=1, char_duplicates_ratio=0.1))

    def paper(text: str) -> Judgement:
        return first_fineweb(text, repeated=0.1, new_lines=None)

    today = {"gopher_repetition": {}, "gopher_quality": {}, "c4": {"terminal_punctuation": False}, "fineweb": {}}
    # In this order datatrove, which remembers the words of a few texts, splits each text only once or twice.
    return {
        "Gopher repetition": ({"gopher_repetition": {}}, (repetition,)),
        "Gopher quality": ({"gopher_quality": {}}, (quality,)),
        "FineWeb": ({"fineweb": {}}, (fineweb,)),
        "preset gopher": ({"preset": "gopher"}, (repetition, quality)),
        "preset fineweb-2": ({"preset": "fineweb-2"}, (repeated_lines, quality, fineweb_2)),
        "C4 paragraphs": ({"c4_paragraphs": {}}, (paragraphs,)),
        "C4": ({"c4": {}}, (c4,)),
        "C4 without terminal punctuation": ({"c4": {"terminal_punctuation": False}}, (any_line,)),
        "FineWeb's whole chain, as datatrove has it today": (today, (repetition, quality, any_line, fineweb)),
        "preset fineweb-v1": (
            {"preset": "fineweb-v1", "language": None},
            (repetition, quality, any_line, first_fineweb),
        ),
        "preset fineweb-paper": (
            {"preset": "fineweb-paper", "language": None},
            (repetition, quality, any_line, paper),
        ),
    }


def verdicts(text: str) -> Callable[[tuple[Judge, ...]], Judgement]:
    """What judges one after the other say of this text; each is asked once for each text that reaches it."""
    known: dict[tuple[Judge, str], Judgement] = {}

    def decide(chain: tuple[Judge, ...]) -> Judgement:
        current = Judgement(text, None)
        for judge in chain:
            place = (judge, current.text)
            if place not in known:
                known[place] = judge(current.text)
            current = known[place]
            if current.reason is not None:
                return Judgement(text, current.reason)
        return current

    return decide


def every_reason() -> Iterator[str]:
    """All the reasons there are, in our words."""
    for section, reasons in REASONS.items():
        yield from (f"{section}: {reason}" for reason in dict.fromkeys(reasons.values()))
