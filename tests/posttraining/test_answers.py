"""Questions read back out of rendered conversations, and the form of answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.posttraining.answers import held_back_questions, keeps_form
from lumilab.posttraining.conversations import build_conversations
from lumilab.posttraining.messages import ASSISTANT, USER, Message
from lumilab.posttraining.template import render, render_prompt
from lumilab.posttraining.templates import ChatForm
from lumilab.recipe.conversations import ConversationsConfig, MessagesConversations
from lumilab.tokenizer.load import Tokenizer

TEMPLATES = ("chatml", "instruct", "chat", "alpaca", "user-assistant")


@pytest.mark.parametrize("template", TEMPLATES)
def test_questions_and_references_are_those_of_the_data(
    template: str, tokenizer_artifact: Artifact, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    rows = [[("user", f"A river {n}?\nReally: why?"), ("assistant", f"bridge {n}")] for n in range(40)]
    with (tmp_path / "rows.jsonl").open("w") as file:
        for row in rows:
            system = [("system", "Be\n\nkind.")] if len(row[0][1]) % 2 else []
            messages = [{"role": role, "content": content} for role, content in [*system, *row]]
            file.write(json.dumps({"messages": messages}) + "\n")
    config = ConversationsConfig(
        sources=[MessagesConversations(paths=[str(tmp_path / "rows.jsonl")])], template=template, validation_share=0.3
    )
    context, _ = quiet_context()
    built = build_conversations(config, 512, 1, tokenizer_artifact, tmp_path / "out", context)
    found = held_back_questions(built, tokenizer, 5)
    assert len(found) == 5 and len({question.text for question in found}) == 5
    assert {(question.text, question.reference) for question in found} <= {(row[0][1], row[1][1]) for row in rows}
    assert len(held_back_questions(built, tokenizer, 1000)) == built.manifest.statistics["validation"]["conversations"]


def answered(text: str, tokenizer: Tokenizer, form: ChatForm) -> list[int]:
    """The ids of an answer, up to the token that ends it."""
    asked = [Message(USER, "why?")]
    ids = render([*asked, Message(ASSISTANT, text)], tokenizer, form).ids[len(render_prompt(asked, tokenizer, form)) :]
    return ids[: ids.index(form.template.end_id(tokenizer)) + 1]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_form_of_answers(template: str, tokenizer: Tokenizer) -> None:
    form = ChatForm.named(template)
    whole = answered("the morning bridge\n\nHumanity is a user of rivers.", tokenizer, form)
    assert keeps_form(whole, tokenizer, form)
    assert not keeps_form(whole[:-1], tokenizer, form)  # it was cut off
    assert not keeps_form(whole[-1:], tokenizer, form)  # it says nothing
    assert not keeps_form([], tokenizer, form)
    other = next(token for token in tokenizer.special_names if token != whole[-1])
    assert not keeps_form([*whole[:-1], other, whole[-1]], tokenizer, form)


@pytest.mark.parametrize(
    ("template", "turn"),
    [
        ("instruct", "### Instruction:\nmore"),
        ("alpaca", "### Response:\nmore"),
        ("chat", "Human: more"),
        ("chat", "Assistant: more"),
        ("user-assistant", "User: more"),
    ],
)
def test_an_answer_that_goes_on_with_the_next_turn_has_lost_its_form(
    template: str, turn: str, tokenizer: Tokenizer
) -> None:
    form = ChatForm.named(template)
    assert not keeps_form(answered(f"the morning\n\n{turn}", tokenizer, form), tokenizer, form)
    assert keeps_form(answered(f"the morning {turn.partition(chr(10))[0]}", tokenizer, form), tokenizer, form)
