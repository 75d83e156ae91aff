"""The chat session: the conversation it keeps, what it forgets when there is no room, and how it begins anew."""

from __future__ import annotations

import pytest

from lumilab.errors import InputError
from lumilab.inference.chat import ChatSession
from lumilab.inference.engine import Engine
from lumilab.model import Transformer
from lumilab.posttraining.messages import SYSTEM, USER, Message
from lumilab.posttraining.template import end_of_turn, render_prompt
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer

SAMPLING = SamplingConfig(temperature=1.0, max_tokens=6, seed=2)


class RecordingEngine(Engine):
    """Remembers the prompts it was given."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer) -> None:
        super().__init__(model, tokenizer)
        self.prompts: list[list[int]] = []

    def stream(self, prompt_ids, *args, **kwargs):  # type: ignore[no-untyped-def, override]
        self.prompts.append(list(prompt_ids))
        return super().stream(prompt_ids, *args, **kwargs)


@pytest.fixture
def engine(model: Transformer, tokenizer: Tokenizer) -> RecordingEngine:
    return RecordingEngine(model, tokenizer)


def answered(engine: RecordingEngine, prompt: list[int], turn: int, sampling: SamplingConfig = SAMPLING) -> list[int]:
    """The ids that a fresh request with the session's prompt gives."""
    seeded = sampling.model_copy(update={"seed": sampling.seed + turn})
    return list(Engine(engine.model, engine.tokenizer).stream(prompt, seeded))


def test_the_first_prompt_is_the_rendered_question(engine: RecordingEngine) -> None:
    list(ChatSession(engine, SAMPLING).reply("river?"))
    assert engine.prompts == [render_prompt([Message(USER, "river?")], engine.tokenizer)]


def test_a_system_message_comes_first(engine: RecordingEngine) -> None:
    list(ChatSession(engine, SAMPLING, system="be kind").reply("river?"))
    messages = [Message(SYSTEM, "be kind"), Message(USER, "river?")]
    assert engine.prompts == [render_prompt(messages, engine.tokenizer)]


def test_the_second_prompt_holds_the_first_turn_as_it_was_generated(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    list(session.reply("river?"))
    first = engine.prompts[0]
    answer = answered(engine, first, turn=0)
    list(session.reply("bridge?"))
    question = render_prompt([Message(USER, "bridge?")], engine.tokenizer)
    assert engine.prompts[1] == first + answer + end_of_turn(engine.tokenizer) + question


def test_the_kept_cache_gives_the_answers_of_a_fresh_request(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    for turn, question in enumerate(["river?", "bridge?"]):
        text = "".join(session.reply(question))
        expected = engine.tokenizer.decode(answered(engine, engine.prompts[turn], turn))
        assert expected.startswith(text)
        assert expected[len(text) :].strip("\ufffd") == ""


def test_reset_begins_anew_with_the_same_answers(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    first = "".join(session.reply("river?"))
    session.reset()
    assert "".join(session.reply("river?")) == first
    assert engine.prompts[0] == engine.prompts[1]


def test_the_same_question_again_gets_another_draw(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING.model_copy(update={"max_tokens": 10}))
    answers = []
    for _ in range(3):
        answers.append("".join(session.reply("the")))
        session._turns.clear()  # so that the draws alone differ
    assert len(set(answers)) > 1


def test_the_oldest_turns_are_forgotten_and_it_says_so(engine: RecordingEngine) -> None:
    notices: list[str] = []
    session = ChatSession(engine, SAMPLING, system="kind", notify=notices.append)
    opening = render_prompt([Message(SYSTEM, "kind")], engine.tokenizer)
    for number in range(14):
        list(session.reply(f"q{number}"))
        assert len(engine.prompts[-1]) + SAMPLING.max_tokens <= engine.context
    assert notices
    assert all("forgotten" in notice and "128" in notice for notice in notices)
    last = engine.prompts[-1]
    system_ids = opening[: len(opening) - len(render_prompt([], engine.tokenizer))]
    assert last[: len(system_ids)] == system_ids  # the system message stays
    assert "q0" not in engine.tokenizer.decode(last)
    assert "q13" in engine.tokenizer.decode(last)


def test_nothing_is_said_while_there_is_room(engine: RecordingEngine) -> None:
    notices: list[str] = []
    session = ChatSession(engine, SAMPLING, notify=notices.append)
    list(session.reply("q"))
    assert notices == []


def test_a_question_that_can_never_fit_is_refused_and_the_session_lives_on(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    with pytest.raises(InputError, match="context of 128"):
        session.reply("river and bridge " * 60)
    assert list(session.reply("q"))


def test_an_answer_left_early_counts_as_far_as_it_was_read(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    pieces = session.reply("river?")
    piece = next(pieces)
    read = answered(engine, engine.prompts[0], turn=0)
    list(session.reply("bridge?"))
    kept = engine.prompts[1][len(engine.prompts[0]) :]
    ending = end_of_turn(engine.tokenizer) + render_prompt([Message(USER, "bridge?")], engine.tokenizer)
    answer = kept[: len(kept) - len(ending)]
    assert kept[len(answer) :] == ending
    assert answer == read[: len(answer)]
    assert engine.tokenizer.decode(answer).startswith(piece)


def test_an_answer_never_begun_is_no_part_of_the_conversation(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    session.reply("river?")
    list(session.reply("bridge?"))
    assert engine.prompts[1] == render_prompt([Message(USER, "bridge?")], engine.tokenizer)


def test_statistics_are_of_the_last_answer(engine: RecordingEngine) -> None:
    session = ChatSession(engine, SAMPLING)
    assert session.statistics is None
    list(session.reply("river?"))
    assert session.statistics is not None
    assert session.statistics.tokens == len(answered(engine, engine.prompts[0], turn=0))
    assert session.statistics.prompt_tokens == len(engine.prompts[0])
