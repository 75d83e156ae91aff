"""Arithmetic exercises, as many as are wanted and each only once: something to practise whose answers can be checked.

All exercises with the chosen numbers and signs are counted through, and a keyed permutation says which come first; so
no list of them is held, and another seed gives others.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

from lumilab.dataset.order import order_key, permute
from lumilab.posttraining.messages import ASSISTANT, USER, Conversation, Message
from lumilab.recipe.conversations import ArithmeticConversations

CALCULATE = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def exercises(section: ArithmeticConversations) -> Iterator[Conversation]:
    """The exercises of a section: "37 + 48 =" answered by "85".

    Their ids are made of the exercise alone, so that one that is held back for validation in one stage is so in every
    stage with the same seed and share.
    """
    numbers = section.highest - section.lowest + 1
    total = len(section.signs) * numbers**2
    key = order_key(section.seed, "arithmetic")
    for place in range(min(section.count, total)):
        rest, sign = divmod(permute(place, total, key), len(section.signs))
        left, right = (section.lowest + number for number in divmod(rest, numbers))
        question = f"{left} {section.signs[sign]} {right} ="
        answer = str(CALCULATE[section.signs[sign]](left, right))
        messages = (Message(USER, question), Message(ASSISTANT, answer))
        row = {"question": question, "answer": answer}
        yield Conversation(f"arithmetic:{question}", section.name, messages, row)
