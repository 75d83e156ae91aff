"""Which rows are conversations, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from lumilab.posttraining.messages import ASSISTANT, SYSTEM, USER, Malformed, Message, parse_messages


def row(*messages: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


def test_a_conversation_is_read() -> None:
    parsed = parse_messages(
        row(("system", "S"), ("user", "Q"), ("assistant", "A"), ("user", "Q2"), ("assistant", "A2"))
    )
    assert parsed == (
        Message(SYSTEM, "S"),
        Message(USER, "Q"),
        Message(ASSISTANT, "A"),
        Message(USER, "Q2"),
        Message(ASSISTANT, "A2"),
    )


def test_text_is_kept_as_it_is() -> None:
    assert parse_messages(row(("user", " Q\n"), ("assistant", "\tA ")))[1].content == "\tA "


def test_a_system_message_without_text_is_as_if_it_were_not_there() -> None:
    assert parse_messages(row(("system", "  "), ("user", "Q"), ("assistant", "A")))[0].role == USER


def test_other_fields_do_no_harm() -> None:
    assert len(parse_messages(row(("user", "Q"), ("assistant", "A")) | {"id": 7, "tags": None})) == 2


def test_two_hundred_turns_are_a_conversation() -> None:
    turns = [turn for number in range(100) for turn in (("user", f"Q{number}"), ("assistant", f"A{number}"))]
    assert len(parse_messages(row(*turns))) == 200


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ("text", "not an object"),
        ({}, "no messages"),
        ({"messages": None}, "no messages"),
        ({"messages": []}, "no messages"),
        ({"messages": "text"}, "no messages"),
        ({"messages": ["text"]}, "not an object"),
        (row(("human", "Q"), ("gpt", "A")), "unknown role"),
        (row((None, "Q")), "unknown role"),
        ({"messages": [{"content": "Q"}]}, "unknown role"),
        (row(("user", None), ("assistant", "A")), "content is not text"),
        (row(("user", [{"type": "text"}]), ("assistant", "A")), "content is not text"),
        ({"messages": [{"role": "user"}]}, "content is not text"),
        (row(("user", "Q"), ("assistant", "")), "empty content"),
        (row(("user", " \n"), ("assistant", "A")), "empty content"),
        (row(("user", "Q")), "no answer"),
        (row(("system", "S")), "no answer"),
        (row(("assistant", "A")), "roles out of order"),
        (row(("user", "Q"), ("user", "Q"), ("assistant", "A")), "roles out of order"),
        (row(("user", "Q"), ("assistant", "A"), ("assistant", "A")), "roles out of order"),
        (row(("user", "Q"), ("assistant", "A"), ("user", "Q")), "roles out of order"),
        (row(("user", "Q"), ("system", "S"), ("assistant", "A")), "roles out of order"),
        (row(("system", "S"), ("system", "S"), ("user", "Q"), ("assistant", "A")), "roles out of order"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_reason(value: Any, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_messages(value)
    assert caught.value.reason == reason
    assert caught.value.detail


def test_the_detail_names_the_message() -> None:
    with pytest.raises(Malformed, match="message 2 of the assistant has no text"):
        parse_messages(row(("user", "Q"), ("assistant", "")))
