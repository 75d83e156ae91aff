"""Think blocks while generating: shown, hidden, and ended by a budget. The model is a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tiny_chat import MODEL, tiny_model

from lumilab.inference.chat import ChatSession
from lumilab.inference.engine import Engine
from lumilab.model import Transformer
from lumilab.posttraining.messages import USER, Message
from lumilab.posttraining.template import end_of_turn, render_prompt
from lumilab.posttraining.templates import TEMPLATES, ChatForm
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer

SAMPLING = SamplingConfig(temperature=0.0, max_tokens=60)


class Script:
    """Stands for a TokenStream: says prepared tokens, as many as were asked for."""

    def __init__(self, ids: Sequence[int], prompt: Sequence[int], most: int) -> None:
        self.prompt_length = len(prompt)
        self.finish_reason: str | None = None
        self._ids = list(ids)
        self._left = most

    def __next__(self) -> int:
        if not self._ids or self.finish_reason:
            self.finish_reason = self.finish_reason or "stop"
            raise StopIteration
        self._left -= 1
        if not self._left:
            self.finish_reason = "length"
        return self._ids.pop(0)


class ScriptedEngine(Engine):
    """Says one script after the other, and remembers the requests."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, form: ChatForm, scripts: list[list[int]]) -> None:
        super().__init__(model, tokenizer, form)
        self.scripts = scripts
        self.requests: list[tuple[list[int], SamplingConfig]] = []

    def stream(self, prompt_ids: Sequence[int], sampling: SamplingConfig, *args: Any, **kwargs: Any) -> Any:
        self.requests.append((list(prompt_ids), sampling))
        return Script(self.scripts.pop(0), prompt_ids, sampling.max_tokens)


@pytest.fixture
def model(tokenizer: Tokenizer) -> Transformer:
    """With room for the longest template's words."""
    return tiny_model(tokenizer, config=MODEL.model_copy(update={"context": 512}))


@pytest.fixture(params=list(TEMPLATES))
def form(request: pytest.FixtureRequest) -> ChatForm:
    return ChatForm.named(request.param)


def thought(tokenizer: Tokenizer, form: ChatForm, text: str) -> list[int]:
    opening, closing = (form.template.special_id(role, tokenizer) for role in ("think", "end_think"))
    return [opening, *tokenizer.encode(text), closing]


def test_blocks_are_shown_or_hidden_and_part_of_the_conversation(
    form: ChatForm, model: Transformer, tokenizer: Tokenizer
) -> None:
    said = thought(tokenizer, form, "\nhm\n") + tokenizer.encode("\n\nYes.")
    question = render_prompt([Message(USER, "Q")], tokenizer, form)
    for shown, text in ((True, "<think>\nhm\n</think>\n\nYes."), (False, "Yes.")):
        engine = ScriptedEngine(model, tokenizer, form, [said, tokenizer.encode(" And.")])
        session = ChatSession(engine, SAMPLING, thoughts_shown=shown)
        assert "".join(session.reply("Q")) == text
        assert "".join(session.reply("R")) == "And."
        again = render_prompt([Message(USER, "R")], tokenizer, form, continued=True)
        assert engine.requests[1][0] == [*question, *said, *end_of_turn(tokenizer, form), *again]


def test_a_budget_ends_the_block_and_the_model_goes_on(
    form: ChatForm, model: Transformer, tokenizer: Tokenizer
) -> None:
    long = thought(tokenizer, form, "river " * 20)[:-1]
    engine = ScriptedEngine(model, tokenizer, form, [long, tokenizer.encode("\n\nYes.")])
    session = ChatSession(engine, SAMPLING, think_budget=5)
    text = "".join(session.reply("Q"))
    (first, _), (second, rest) = engine.requests
    closing = form.template.special_id("end_think", tokenizer)
    assert second[: len(first)] == first and second[-1] == closing
    taken = second[len(first) :]
    assert taken[:6] == long[:6] and set(taken[6:-1]) <= set(tokenizer.encode("\n"))
    assert rest.max_tokens == SAMPLING.max_tokens - len(taken)
    assert text.startswith("<think>river") and text.endswith("</think>\n\nYes.")
    assert session.statistics is not None and session.statistics.finish_reason == "stop"


def test_a_short_thought_is_left_alone(form: ChatForm, model: Transformer, tokenizer: Tokenizer) -> None:
    said = thought(tokenizer, form, "a") + tokenizer.encode("b")
    engine = ScriptedEngine(model, tokenizer, form, [said])
    assert "".join(ChatSession(engine, SAMPLING, think_budget=50).reply("Q")) == "<think>a</think>b"
    assert len(engine.requests) == 1


def test_an_answer_that_has_no_room_behind_its_thought_just_ends(
    form: ChatForm, model: Transformer, tokenizer: Tokenizer
) -> None:
    long = thought(tokenizer, form, "river " * 20)[:-1]
    engine = ScriptedEngine(model, tokenizer, form, [long])
    session = ChatSession(engine, SAMPLING.model_copy(update={"max_tokens": 6}), think_budget=5)
    "".join(session.reply("Q"))
    assert session.statistics is not None
    assert (session.statistics.tokens, session.statistics.finish_reason) == (6, "length")
