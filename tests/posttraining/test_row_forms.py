"""The published forms of conversation rows: what each becomes, and why a row is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lumilab.posttraining.instructions import Found, parse_alpaca, parse_columns, parse_dolly, parse_lima
from lumilab.posttraining.messages import ASSISTANT, SYSTEM, USER, Malformed, Message, parse_messages
from lumilab.posttraining.pairs import (
    LeftOut,
    good_of,
    parse_hh,
    parse_judged,
    parse_prompt,
    parse_ultrafeedback,
)
from lumilab.posttraining.sharegpt import parse_sharegpt

DIALOGUE = "\n\nHuman: Q\n\nAssistant: A"
QUESTION, ANSWER = Message(USER, "Q"), Message(ASSISTANT, "A")


def test_alpaca() -> None:
    assert parse_alpaca({"instruction": "Q", "input": "", "output": "A"}) == [(QUESTION, ANSWER)]
    assert parse_alpaca({"instruction": "Q", "input": "x", "output": "A"}) == [(Message(USER, "Q\n\nx"), ANSWER)]
    own = parse_alpaca({"instruction": "Q", "input": "x", "output": "A"}, "\n\n### Input:\n")
    assert own == [(Message(USER, "Q\n\n### Input:\nx"), ANSWER)]
    row = {"instruction": "Q", "input": None, "output": "A", "system": "S", "history": [["q", "a"]]}
    history = (Message(SYSTEM, "S"), Message(USER, "q"), Message(ASSISTANT, "a"), QUESTION, ANSWER)
    assert parse_alpaca(row) == [history]


def test_each_instance_of_a_seed_task_is_a_conversation() -> None:
    row = {"instruction": "Q", "instances": [{"input": "", "output": "A"}, {"input": "x", "output": "B"}]}
    assert parse_alpaca(row) == [(QUESTION, ANSWER), (Message(USER, "Q\n\nx"), Message(ASSISTANT, "B"))]


def test_dolly_lima_and_columns() -> None:
    assert parse_dolly({"instruction": "Q", "context": "", "response": "A", "category": "qa"}) == [(QUESTION, ANSWER)]
    assert parse_dolly({"instruction": "Q", "context": "x", "response": "A"})[0][0].content == "Q\n\nx"
    four = (QUESTION, ANSWER, Message(USER, "R"), Message(ASSISTANT, "B"))
    assert parse_lima({"conversations": ["Q", "A", "R", "B"], "source": "stackexchange"}) == [four]
    row = {"problem": "Q", "solution": "<think>\nT\n</think>\n\nA", "role": "S"}
    asked = (Message(SYSTEM, "S"), QUESTION, Message(ASSISTANT, "A", "T"))
    assert parse_columns(row, "problem", "solution", "role") == [asked]


def test_sharegpt_with_tools() -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": '{"name": "f"}'},
            {"from": "observation", "value": "2"},
            {"from": "gpt", "value": "A"},
        ],
        "tools": '[{"name": "f"}]',
    }
    assert parse_sharegpt(row) == [
        (
            Message(SYSTEM, 'You may call these functions:\n<tools>\n[{"name": "f"}]\n</tools>'),
            QUESTION,
            Message(ASSISTANT, '<tool_call>\n{"name": "f"}\n</tool_call>'),
            Message(USER, "<tool_response>\n2\n</tool_response>"),
            ANSWER,
        )
    ]


def test_messages_with_parts_tools_thoughts_and_weights() -> None:
    row = {
        "messages": [
            {"role": "system", "content": [{"type": "text", "value": "S"}]},
            {"role": "user", "content": [{"type": "text", "text": "Q"}], "loss_weight": 0.0},
            {
                "role": "assistant",
                "content": [{"type": "reasoning", "value": "T"}, {"type": "tool_call", "value": '{"name": "f"}'}],
                "weight": 0,
            },
            {"role": "tool", "content": "1"},
            {"role": "tool", "content": "2"},
            {"role": "assistant", "content": "A", "reasoning_content": "U", "loss_weight": 1.0},
        ],
        "tools": "[]",
    }
    call = Message(ASSISTANT, '<tool_call>\n{"name": "f"}\n</tool_call>', "T", trained=False)
    back = Message(USER, "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>")
    assert parse_messages(row) == (Message(SYSTEM, "S"), QUESTION, call, back, Message(ASSISTANT, "A", "U"))


def test_openai_tool_calls_are_part_of_what_is_said() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    rows = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    said = parse_messages({"messages": rows})[1].content
    assert json.loads(said.removeprefix("<tool_call>").removesuffix("</tool_call>")) == {
        "name": "f",
        "arguments": {"a": 1},
    }


def test_a_think_block_at_the_beginning_is_apart() -> None:
    def answer(content: str) -> Message:
        return parse_messages(
            {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": content}]}
        )[1]

    assert answer(" <think>\nT\n</think>\nA") == Message(ASSISTANT, "A", "T")
    assert answer("<think>\n\n</think>\n\nA") == Message(ASSISTANT, "A")
    assert answer("A <think>T</think>") == Message(ASSISTANT, "A <think>T</think>")
    with pytest.raises(Malformed, match="unclosed think block"):
        answer("<think>T")
    with pytest.raises(Malformed, match="empty content"):
        answer("<think>T</think>")


def test_hh_dialogues() -> None:
    start = "\n\nHuman: Q\n\nAssistant: A\n\nHuman: R"
    pair = parse_hh({"chosen": f"{start}\n\nAssistant: good", "rejected": f"{start}\n\nAssistant: bad\n"})
    assert pair.prompt == (QUESTION, ANSWER, Message(USER, "R"))
    assert (pair.chosen, pair.rejected) == (Message(ASSISTANT, "good"), Message(ASSISTANT, "bad"))


def test_pairs_in_other_forms() -> None:
    answers = {"chosen": "good", "rejected": "bad"}
    as_messages = {
        name: [{"role": "user", "content": "Q"}, {"role": "assistant", "content": text}]
        for name, text in answers.items()
    }
    turns = {name: {"from": "gpt", "value": text} for name, text in answers.items()}
    one = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
    pairs = [
        parse_ultrafeedback({"prompt": "Q", **as_messages}),
        parse_prompt({"prompt": "Q", **answers}),
        parse_prompt({"prompt": [{"role": "user", "content": "Q"}], **one}),
        parse_prompt({"instruction": "Q", "input": "", "output": "good", **answers}),
        parse_prompt({"conversations": [{"from": "human", "value": "Q"}], **turns}),
    ]
    assert all(pair == pairs[0] for pair in pairs)
    assert (pairs[0].prompt, pairs[0].chosen.content, pairs[0].rejected.content) == ((QUESTION,), "good", "bad")


def test_verdicts() -> None:
    row = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "label": True}
    assert parse_judged(row) == ((QUESTION, ANSWER), True)
    assert good_of({"prompt": "Q", "completion": "A", "label": True}) == [(QUESTION, ANSWER)]
    with pytest.raises(LeftOut, match="judged bad"):
        good_of(row | {"label": False})


@pytest.mark.parametrize(
    ("parse", "row", "reason"),
    [
        (parse_alpaca, {"instruction": "Q", "output": ""}, "empty content"),
        (parse_alpaca, {"instruction": None, "output": "A"}, "content is not text"),
        (parse_alpaca, {"instruction": "Q"}, "content is not text"),
        (parse_alpaca, {"instruction": "Q", "instances": []}, "no answer"),
        (parse_alpaca, {"instruction": "Q", "output": "A", "history": [["q"]]}, "no messages"),
        (parse_alpaca, [], "not an object"),
        (parse_dolly, {"instruction": "Q", "context": 3, "response": "A"}, "content is not text"),
        (parse_lima, {"conversations": ["Q"]}, "no answer"),
        (parse_lima, {"conversations": ["Q", None]}, "content is not text"),
        (parse_lima, {"conversations": []}, "no messages"),
        (parse_sharegpt, {"conversations": [{"from": "gpt", "value": "A"}]}, "roles out of order"),
        (parse_sharegpt, {"conversations": [{"from": "cat", "value": "A"}]}, "unknown role"),
        (parse_sharegpt, {"conversations": [{"from": [], "value": "A"}]}, "unknown role"),
        (parse_sharegpt, {"conversations": None}, "no messages"),
        (parse_sharegpt, {"conversations": [{"from": "human", "value": None}]}, "content is not text"),
        (parse_hh, {"chosen": DIALOGUE, "rejected": DIALOGUE}, "no preference"),
        (parse_hh, {"chosen": DIALOGUE, "rejected": DIALOGUE.replace("Q", "R")}, "different prompts"),
        (parse_hh, {"chosen": "Q", "rejected": "R"}, "no messages"),
        (parse_hh, {"chosen": DIALOGUE, "rejected": None}, "content is not text"),
        (parse_prompt, {"chosen": "A", "rejected": "B"}, "content is not text"),
        (parse_prompt, {"prompt": "Q", "chosen": "A"}, "content is not text"),
        (parse_ultrafeedback, {"chosen": [], "rejected": []}, "no messages"),
        (parse_judged, {"messages": [], "label": None}, "no verdict"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(parse: Callable[[Any], Found], row: Any, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(row)
    assert caught.value.reason == reason and caught.value.detail


def test_nothing_to_train_is_refused() -> None:
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 0}]
    with pytest.raises(Malformed, match="nothing to train"):
        parse_messages({"messages": messages})
    with pytest.raises(Malformed, match="unknown weight"):
        parse_messages({"messages": [messages[0], messages[1] | {"weight": 0.5}]})
