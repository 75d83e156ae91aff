"""Questions of held-back conversations, and whether what a model answers has the form that it was taught.

An answer keeps the form when it says something, ends with the token that ends a turn, and contains no mark of another
turn: neither another special token nor, in templates that mark turns with words (`### Instruction:`, `Human:`), such a
word at the beginning of a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lumilab.artifact import Artifact
from lumilab.dataset.split import VALIDATION
from lumilab.posttraining.examples import Examples, form_of
from lumilab.posttraining.template import answer_text, think_marks
from lumilab.posttraining.templates import ChatForm, parts_of
from lumilab.posttraining.visits import spread
from lumilab.tokenizer.load import Tokenizer


@dataclass(frozen=True)
class Question:
    """Something to be answered.

    Attributes:
        text: what the user asked.
        ids: the conversation up to the header after which the assistant answers.
        reference: what the data has for an answer, if it is from there.
    """

    text: str
    ids: list[int]
    reference: str | None = None


def held_back_questions(conversations: Artifact, tokenizer: Tokenizer, count: int) -> list[Question]:
    """At most `count` questions, each the first of its conversation, evenly spread over the validation split."""
    form = form_of(conversations)
    examples = Examples.open(conversations, VALIDATION)
    found = []
    for index in spread(count, len(examples)):
        rendered = examples.rendered(index)
        begin = rendered.trained.index(True)
        end = [*rendered.trained, False].index(False, begin)
        prompt, answer = rendered.ids[:begin], rendered.ids[begin:end]
        question = _last_question(prompt, tokenizer, form)
        found.append(Question(question, prompt, answer_text(answer, tokenizer, form)))
    return found


def keeps_form(ids: Sequence[int], tokenizer: Tokenizer, form: ChatForm) -> bool:
    """Whether an answer has the form of one.

    Args:
        ids: all tokens of the answer, with the one that ended it.
    """
    end = form.template.end_id(tokenizer)
    if not ids or ids[-1] != end:
        return False
    allowed = think_marks(tokenizer, form) or ()
    if any(token in tokenizer.special_names and token not in allowed for token in ids[:-1]):
        return False
    text = answer_text(ids[:-1], tokenizer, form)
    marks = tuple(_words(form))
    return bool(text) and not any(line.lstrip().startswith(marks) for line in text.splitlines())


def _words(form: ChatForm) -> list[str]:
    """The words with which turns begin; a turn that begins with a special token is known by that."""
    template = form.template
    beginnings = [next(parts_of(part), ("", True)) for part in (template.question[0], template.header)]
    return [text.strip() for text, is_role in beginnings if not is_role and text.strip()]


def _last_question(prompt: Sequence[int], tokenizer: Tokenizer, form: ChatForm) -> str:
    """What the user said last in a prompt, read back out of it."""
    before, after, header = (
        "".join(form.template.special_name(text, tokenizer) if is_role else text for text, is_role in parts_of(part))
        for part in (*form.template.question, form.template.header)
    )
    shown = tokenizer.decode(prompt, keep_special=True).removesuffix(header).removesuffix(after)
    return (shown.rpartition(before)[2] if before else shown).strip()
