"""What Prometheus is told, under vLLM's names, so that dashboards made for vLLM show this server as well.

Counts of requests and tokens are the engine's own and are read when somebody asks. Times are measured where a token is
made, on the engine's thread: what a slow client does afterwards does not count.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lumilab.inference.requests import TokenEvent
from lumilab.inference.service import GenerationService, ServiceStatistics

LABEL = "model_name"
FIRST_TOKEN_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
BETWEEN_TOKENS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5)
WHOLE_BUCKETS = (0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480)
LENGTH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class ServerMetrics:
    """The metrics of one server.

    Attributes:
        registry: what `/metrics` shows.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._first = self._histogram("time_to_first_token_seconds", "Until the first token", FIRST_TOKEN_BUCKETS)
        self._between = self._histogram("inter_token_latency_seconds", "Between two tokens", BETWEEN_TOKENS_BUCKETS)
        self._whole = self._histogram("e2e_request_latency_seconds", "Until the last token", WHOLE_BUCKETS)
        self._prompts = self._histogram("request_prompt_tokens", "Tokens of a prompt", LENGTH_BUCKETS)
        self._answers = self._histogram("request_generation_tokens", "Tokens of an answer", LENGTH_BUCKETS)

    def clock(self, model: str) -> Callable[[int], RequestClock]:
        """Makes the clock of a request to a model, given its prompt's length."""
        instruments = _Instruments(
            *(each.labels(model) for each in (self._first, self._between, self._whole, self._prompts, self._answers))
        )
        return lambda prompt_tokens: RequestClock(instruments, prompt_tokens)

    def watch(self, services: Iterable[tuple[str, GenerationService]]) -> None:
        """Shows the statistics of these engines."""
        self.registry.register(_ServiceCollector(list(services)))

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"vllm:{name}", f"{help}.", [LABEL], buckets=buckets, registry=self.registry)


@dataclass(frozen=True)
class _Instruments:
    first: Histogram
    between: Histogram
    whole: Histogram
    prompt: Histogram
    answer: Histogram


class RequestClock:
    """Measures one text from when it was asked for; cancelled ones count up to there."""

    def __init__(self, instruments: _Instruments, prompt_tokens: int) -> None:
        self._instruments = instruments
        self._prompt_tokens = prompt_tokens
        self._begun = time.perf_counter()
        self._last: float | None = None
        self._tokens = 0

    def event(self, event: TokenEvent, now: float) -> None:
        """Counts an event that came at a moment of `time.perf_counter`."""
        if event.token_id is not None and not event.echoed:
            self._tokens += 1
            if self._last is None:
                self._instruments.first.observe(now - self._begun)
            else:
                self._instruments.between.observe(now - self._last)
            self._last = now
        if event.finish_reason is not None:
            self._instruments.whole.observe(now - self._begun)
            self._instruments.prompt.observe(self._prompt_tokens)
            self._instruments.answer.observe(self._tokens)


_Figure = tuple[str, str, Callable[[ServiceStatistics], float]]


class _ServiceCollector(Collector):
    """The statistics of each engine, as they are when Prometheus asks."""

    GAUGES: ClassVar[tuple[_Figure, ...]] = (
        ("num_requests_running", "Requests that have a slot", lambda now: now.running),
        ("num_requests_waiting", "Requests in the queue", lambda now: now.waiting),
        (
            "kv_cache_usage_perc",
            "Share of the room for keys and values in use; 1 is all of it",
            lambda now: now.kv_used,
        ),
    )
    COUNTERS: ClassVar[tuple[_Figure, ...]] = (
        ("prompt_tokens", "Tokens of prompts", lambda now: now.prompt_tokens),
        ("generation_tokens", "Tokens generated", lambda now: now.generated_tokens),
        ("prefix_cache_queries", "Tokens of prompts that were looked for in slots", lambda now: now.prefix_queries),
        ("prefix_cache_hits", "Tokens of prompts that a slot held already", lambda now: now.prefix_hits),
    )

    def __init__(self, services: list[tuple[str, GenerationService]]) -> None:
        self._services = services

    REASONS: ClassVar[dict[str, str]] = {"context": "length", "cancelled": "abort"}  # vLLM's words for ours

    def collect(self) -> Iterator[Metric]:
        now: list[tuple[str, ServiceStatistics]] = [(name, service.statistics()) for name, service in self._services]
        for name, help, read in self.GAUGES:
            gauge = GaugeMetricFamily(f"vllm:{name}", f"{help}.", labels=[LABEL])
            for model, statistics in now:
                gauge.add_metric([model], read(statistics))
            yield gauge
        for name, help, read in self.COUNTERS:
            counter = CounterMetricFamily(f"vllm:{name}", f"{help}.", labels=[LABEL])
            for model, statistics in now:
                counter.add_metric([model], read(statistics))
            yield counter
        finished = CounterMetricFamily(
            "vllm:request_success", "Requests that ended.", labels=[LABEL, "finished_reason"]
        )
        for model, statistics in now:
            counts: Counter[str] = Counter()
            for reason, count in statistics.finished.items():
                counts[self.REASONS.get(reason, reason)] += count
            for reason, count in counts.items():
                finished.add_metric([model, reason], count)
        yield finished
