"""Examples as a model is trained on them, in colour: what it has to produce, and what it only reads.

What is trained is green and between ⟦ and ⟧, so that it can be told where there is no colour; special tokens are shown
by name. A bad answer is red.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.text import Text

from lumilab.artifact import Artifact
from lumilab.dataset.split import TRAIN
from lumilab.errors import InputError
from lumilab.posttraining.comparisons import SIDES, Answers
from lumilab.posttraining.examples import Examples
from lumilab.posttraining.template import Rendered
from lumilab.tokenizer.load import Tokenizer

OPEN, CLOSE = "⟦", "⟧"


def masked_text(example: Rendered, tokenizer: Tokenizer, colour: str = "green") -> Text:
    """One example; joined without the two marks it is the text that the tokens stand for."""
    text = Text()
    pairs = zip(example.ids, example.trained, strict=True)
    for trained, run in groupby(pairs, key=lambda pair: pair[1]):
        piece = tokenizer.decode([token for token, _ in run], keep_special=True)
        text.append(f"{OPEN}{piece}{CLOSE}" if trained else piece, style=f"bold {colour}" if trained else "dim")
    return text


def masked_examples(conversations: Artifact, tokenizer: Tokenizer, count: int) -> Iterator[Text]:
    """Training examples of a conversations artifact, evenly spread, each with a heading.

    Args:
        conversations: the artifact.
        tokenizer: the one it was rendered with.
        count: how many, at most.

    Raises:
        MismatchError: it was rendered with another tokenizer.
        InputError: it has no training examples.
    """
    tokenizer.check_same(conversations.manifest.config["tokenizer_identity"], f"the conversations {conversations.path}")
    examples = Examples.open(conversations, TRAIN)
    if not len(examples):
        raise InputError("There are no training examples to show", where=str(conversations.path))
    count = min(count, len(examples))
    for place in range(count):
        number = place * len(examples) // count
        example = examples.rendered(number)
        trained = sum(example.trained)
        heading = f"example {number + 1:,} of {len(examples):,}: {len(example.ids)} tokens, {trained} of them trained\n"
        yield Text(heading, style="bold").append_text(masked_text(example, tokenizer))


def masked_pairs(pairs: Artifact, tokenizer: Tokenizer, count: int) -> Iterator[Text]:
    """Training pairs of a pairs artifact, evenly spread, the good answer first; or single answers with a verdict.

    Args:
        pairs: the artifact.
        tokenizer: the one it was rendered with.
        count: how many, at most.

    Raises:
        MismatchError: it was rendered with another tokenizer.
    """
    tokenizer.check_same(pairs.manifest.config["tokenizer_identity"], f"the pairs {pairs.path}")
    answers = Answers.open(pairs, TRAIN)
    sides, what = (SIDES, "pair") if pairs.manifest.config["paired"] else (1, "answer")
    total = len(answers.verdicts) // sides
    count = min(count, total)
    for place in range(count):
        number = place * total // count
        text = Text(f"{what} {number + 1:,} of {total:,}", style="bold")
        for index in range(number * sides, (number + 1) * sides):
            example, good = answers.examples.rendered(index), bool(answers.verdicts[index])
            heading = (
                f"\n{'good' if good else 'bad'}: {len(example.ids)} tokens, {sum(example.trained)} of the answer\n"
            )
            text.append(heading, style="bold")
            text.append_text(masked_text(example, tokenizer, "green" if good else "red"))
        yield text
