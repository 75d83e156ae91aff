"""The generation service: each answer is what the request gives alone, whatever else is running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lumilab.errors import InputError
from lumilab.inference.batch import Batch
from lumilab.inference.engine import Engine
from lumilab.inference.quantise import Quantisation, quantise
from lumilab.inference.requests import GenerationRequest, QueueFull, ServiceClosed, TokenEvent
from lumilab.inference.service import GenerationService, Ticket
from lumilab.inference.text import TextStream
from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer

GREEDY = SamplingConfig(temperature=0.0, max_tokens=20)
PROMPTS = [[1, 100 + 7 * number, 200, 300 - number, 150, *range(80, 80 + 5 * number)] for number in range(6)]


class Listener:
    """Collects a request's events."""

    def __init__(self) -> None:
        self.events: list[TokenEvent] = []
        self._ended = threading.Event()
        self._counted = threading.Condition()

    def __call__(self, event: TokenEvent) -> None:
        with self._counted:
            self.events.append(event)
            self._counted.notify_all()
        if event.finish_reason is not None:
            self._ended.set()

    def wait(self) -> list[TokenEvent]:
        assert self._ended.wait(60)
        return self.events

    def wait_for(self, count: int) -> None:
        with self._counted:
            assert self._counted.wait_for(lambda: len(self.events) >= count, 60)

    @property
    def ids(self) -> list[int]:
        return [event.token_id for event in self.wait() if event.token_id is not None and not event.echoed]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.wait())

    @property
    def reason(self) -> str | None:
        return self.wait()[-1].finish_reason


@pytest.fixture
def engine(model: Transformer, tokenizer: Tokenizer) -> Engine:
    return Engine(model, tokenizer)


@pytest.fixture
def service(engine: Engine) -> Iterator[GenerationService]:
    service = GenerationService(engine, slots=3, queue_limit=20)
    yield service
    service.close()


def ask(service: GenerationService, prompt: list[int], sampling: SamplingConfig = GREEDY, **more: Any) -> Listener:
    listener = Listener()
    service.submit(GenerationRequest(prompt, sampling, **more), listener)
    return listener


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_answers_are_those_of_each_request_alone(
    service: GenerationService, model: Transformer, temperature: float
) -> None:
    sampling = [
        SamplingConfig(temperature=temperature, max_tokens=10 + 4 * number, seed=number, repetition_penalty=1.1)
        for number in range(len(PROMPTS))
    ]
    listeners = [ask(service, prompt, config) for prompt, config in zip(PROMPTS, sampling, strict=True)]
    alone = Engine(model, service.engine.tokenizer)
    for prompt, config, listener in zip(PROMPTS, sampling, listeners, strict=True):
        stream = TextStream(alone.stream(prompt, config), alone.tokenizer)
        assert listener.text == stream.read()
        assert listener.ids == stream.ids
        assert listener.reason == stream.statistics.finish_reason
    statistics = service.statistics()
    assert sum(statistics.finished.values()) == len(PROMPTS)
    assert (statistics.running, statistics.waiting) == (0, 0)


def test_a_stop_string_over_several_tokens_ends_the_text(service: GenerationService) -> None:
    sampling = SamplingConfig(temperature=1.2, top_k=0, top_p=1.0, max_tokens=40, seed=3)
    whole = ask(service, PROMPTS[0], sampling, stop_ids=()).text
    stop = whole[len(whole) // 2 : len(whole) // 2 + 4]
    listener = ask(service, PROMPTS[0], sampling, stop_ids=(), stop=(stop,))
    assert listener.text == whole[: whole.index(stop)]
    assert listener.reason == "stop"


def test_log_probabilities_are_the_models(service: GenerationService, model: Transformer) -> None:
    listener = ask(service, PROMPTS[1], GREEDY, stop_ids=(), logprobs=3, echo_logprobs=True)
    events = listener.wait()
    ids = [event.token_id for event in events]
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0].log_softmax(-1)
    assert ids[: len(PROMPTS[1])] == PROMPTS[1]
    assert [event.echoed for event in events] == [True] * len(PROMPTS[1]) + [False] * GREEDY.max_tokens
    assert events[0].logprob is None
    for place, event in enumerate(events[1:]):
        assert event.logprob == pytest.approx(float(expected[place, event.token_id]), abs=1e-4)
        values, best = expected[place].topk(3)
        assert [token for token, _ in event.top_logprobs] == best.tolist()
        assert [value for _, value in event.top_logprobs] == pytest.approx(values.tolist(), abs=1e-4)


def test_a_prompt_can_be_scored_alone(service: GenerationService) -> None:
    listener = ask(service, [1, 100], SamplingConfig(max_tokens=0), logprobs=0, echo_logprobs=True)
    events = listener.wait()
    assert [event.token_id for event in events] == [1, 100, None]
    assert listener.reason == "length"


def test_a_cancelled_request_frees_its_slot(service: GenerationService) -> None:
    listener = Listener()
    ticket = service.submit(GenerationRequest([1, 100], SamplingConfig(max_tokens=120), stop_ids=()), listener)
    listener.wait_for(3)
    ticket.cancel()
    assert listener.reason == "cancelled"
    assert service.drain(60)
    assert service.statistics().finished["cancelled"] == 1
    assert service.statistics().running == 0


def test_the_queue_is_bounded_and_drains(engine: Engine) -> None:
    service = GenerationService(engine, slots=1, queue_limit=2)
    gate = threading.Event()
    service.call(gate.wait)  # holds the thread
    listeners = [ask(service, prompt) for prompt in PROMPTS[:3]]  # one for the slot, two that wait
    with pytest.raises(QueueFull):
        ask(service, PROMPTS[3])
    gate.set()
    assert service.drain(60)
    assert [listener.reason for listener in listeners] == ["length"] * 3
    with pytest.raises(ServiceClosed):
        ask(service, PROMPTS[0])
    service.close()
    assert not service.healthy()


def test_closing_cancels_what_runs(engine: Engine) -> None:
    service = GenerationService(engine, slots=1)
    listeners = [ask(service, prompt, SamplingConfig(max_tokens=120), stop_ids=()) for prompt in PROMPTS[:3]]
    listeners[0].wait_for(2)
    service.close()
    assert {listener.reason for listener in listeners} == {"cancelled"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failure_is_told_to_everyone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of order")

    service = GenerationService(engine, slots=1)
    monkeypatch.setattr(Batch, "step", fail)
    listener = ask(service, PROMPTS[0])
    assert listener.reason == "error"
    assert "out of order" in str(listener.events[-1].error)
    service.close()
    assert not service.healthy()
    with pytest.raises(ServiceClosed):
        ask(service, PROMPTS[0])


def test_what_cannot_be_generated_is_refused(service: GenerationService) -> None:
    with pytest.raises(InputError, match="context of 128"):
        ask(service, [1] * 128)
    with pytest.raises(InputError, match="no prompt"):
        ask(service, [])
    with pytest.raises(InputError, match="token id"):
        ask(service, [10_000])
    with pytest.raises(InputError, match="logit bias"):
        ask(service, [1], SamplingConfig(logit_bias={10_000: 1.0}))
    with pytest.raises(InputError, match="max_tokens"):
        ask(service, [1], SamplingConfig(max_tokens=0))


def test_tickets_are_harmless_after_the_end(service: GenerationService) -> None:
    listener = Listener()
    ticket: Ticket = service.submit(GenerationRequest(PROMPTS[0], GREEDY), listener)
    listener.wait()
    ticket.cancel()
    assert ask(service, PROMPTS[1]).reason == "length"


def test_prompts_read_in_pieces_give_the_same_answers(engine: Engine, service: GenerationService) -> None:
    long = [100 + token % 300 for token in range(0, 700, 7)]
    whole = ask(service, long).ids
    slow = GenerationService(engine, slots=4, prompt_tokens=3)
    busy = ask(slow, PROMPTS[1], SamplingConfig(temperature=0.0, max_tokens=60), stop_ids=())
    busy.wait_for(1)
    listeners = [ask(slow, prompt) for prompt in (long, PROMPTS[2], long)]
    assert [listener.ids for listener in listeners] == [whole, ask(service, PROMPTS[2]).ids, whole]
    busy.wait()
    slow.close()


def test_what_was_read_before_is_not_read_again(engine: Engine) -> None:
    service = GenerationService(engine, slots=2)
    shared = [100 + token for token in range(60)]
    first = ask(service, [*shared, 5])
    first.wait()
    assert service.statistics().prefix_hits == 0
    second = ask(service, [*shared, 6])  # in the slot of the first
    second.wait()
    assert service.statistics().prefix_hits == 60
    third = ask(service, [*shared, 6], SamplingConfig(temperature=0.0, max_tokens=60), stop_ids=())
    third.wait_for(1)
    fourth = ask(service, [*shared, 6])  # copied from the slot that the third is in
    assert fourth.ids == second.ids == third.ids[: len(second.ids)]
    statistics = service.statistics()
    assert statistics.prefix_hits == 60 + 60 + 60
    assert statistics.prefix_queries == 4 * 61
    service.close()
    alone = Engine(engine.model, engine.tokenizer)
    assert second.ids == list(alone.stream([*shared, 6], GREEDY))


def test_slots_are_never_lost(service: GenerationService) -> None:
    listeners = []
    for number in range(18):
        listener = Listener()
        listeners.append(listener)
        ticket = service.submit(GenerationRequest(PROMPTS[number % 6], GREEDY, stop_ids=()), listener)
        if number % 3 == 0:
            ticket.cancel()
    for listener in listeners:
        listener.wait()
    assert service.drain(60)
    statistics = service.statistics()
    assert (statistics.running, statistics.waiting, statistics.kv_used) == (0, 0, 0.0)
    assert sum(statistics.finished.values()) == 18


@pytest.mark.long
@pytest.mark.parametrize("kind", ["none", "int8", "int4"])
def test_a_model_of_real_size_answers_each_as_if_alone(tokenizer: Tokenizer, kind: Quantisation) -> None:
    shape = ModelConfig(layers=12, width=512, heads=8, kv_heads=8, head_dim=64, feed_forward=1_408, context=512)
    model = quantise(initialise(Transformer(shape, tokenizer.vocabulary_size), 0).eval(), kind)
    engine = Engine(model, tokenizer)
    choose = torch.Generator().manual_seed(5)
    prompts = [
        torch.randint(400, (length,), generator=choose).tolist() for length in (1, 3, 40, 17, 70, 9, 128, 33, 5, 64)
    ]
    sampling = SamplingConfig(temperature=0.0, max_tokens=16)
    service = GenerationService(engine, slots=6, prompt_tokens=11)
    listeners = [ask(service, prompt, sampling, stop_ids=(), logprobs=1) for prompt in prompts]
    together = [[(event.token_id, event.logprob) for event in listener.wait()] for listener in listeners]
    service.close()
    for prompt, got in zip(prompts, together, strict=True):
        alone = GenerationService(engine, slots=1)
        events = ask(alone, prompt, sampling, stop_ids=(), logprobs=1).wait()
        assert got == [(event.token_id, event.logprob) for event in events]  # to the last bit
        alone.close()


def test_a_request_whose_draw_fails_ends_alone(service: GenerationService, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(logits: torch.Tensor) -> int:
        raise ZeroDivisionError("no such token")

    listeners = [Listener() for _ in PROMPTS[:3]]
    new_drawer = service.engine.new_drawer

    def drawer_of(prompt: Any, sampling: SamplingConfig) -> Any:
        drawer = new_drawer(prompt, sampling)
        if list(prompt) == PROMPTS[1]:
            monkeypatch.setattr(drawer, "draw", fails)
        return drawer

    monkeypatch.setattr(service.engine, "new_drawer", drawer_of)
    for prompt, listener in zip(PROMPTS, listeners, strict=False):
        service.submit(GenerationRequest(prompt, GREEDY), listener)
    assert [listener.reason for listener in listeners][1] == "error"
    assert "no such token" in str(listeners[1].events[-1].error)
    assert all(listener.reason in ("length", "stop", "context") for listener in (listeners[0], listeners[2]))
    assert service.healthy()
    again = Listener()
    service.submit(GenerationRequest(PROMPTS[0], GREEDY), again)
    assert again.ids == listeners[0].ids
