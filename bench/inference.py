"""Generating on two threads of a CPU: our engine against transformers' `generate`, and many clients against one.

12 layers of 512 with 8 heads, vocabulary 32 768, tied embeddings, random weights: a prompt of 64 tokens, then greedy
tokens. The peer is the same Qwen3 model in transformers (eager, SDPA), with its dynamic and its static cache and with
weights of float32 and of bfloat16; the fastest of the four counts (the claims name it in "against"). With --compiled
its static cache under torch.compile takes part, which takes minutes to begin.

  bf16        batch 1, weights stored in bfloat16, arithmetic in float32; "float32" is the same with float32 weights
  int8, int4  batch 1, weights stored in 8 and 4 bits
  concurrent  tokens a second of 16 streams through the GenerationService against those of one stream through it

Each contender is a process of its own; they take turns, one at work and the others asleep, and a ratio is the median
over rounds of ours against the peer's in the same round. Then time to first token (of 64 prompt tokens) and time
between tokens, p50 and p95, of 1 and of 16 streams. On a machine that others use at the same time, `--cpu-time` counts
the seconds that a contender's one thread was at work instead of those that passed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch

from lumilab.inference.engine import Engine
from lumilab.inference.quantise import quantise
from lumilab.inference.requests import GenerationRequest, TokenEvent
from lumilab.inference.service import GenerationService
from lumilab.model import Transformer, hf_config, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.schema import SamplingConfig

VOCABULARY, PROMPT, THREADS, STREAMS = 32_768, 64, 2, 16
MODEL = ModelConfig(layers=12, width=512, heads=8, kv_heads=8, head_dim=64, feed_forward=1_408, context=512)
PEERS = ("transformers dynamic", "transformers static", "transformers bf16 dynamic", "transformers bf16 static")
COMPILED = "transformers static compiled"
OURS = {"float32": None, "bf16": 2.0, "int8": 3.0, "int4": None}  # with the ratio aimed at
CONCURRENT_TARGET = 4.0
Turn = Callable[[int], dict[str, Any]]  # generates so many tokens; gives {"tokens": how many, ...}


def main(arguments: Sequence[str]) -> int:
    """Prints the table and one JSON line per claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds of 24 tokens")
    parser.add_argument("--compiled", action="store_true", help="transformers under torch.compile takes part")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, and its own seconds of work")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contender:
        return _contend(options.contender, options.cpu_time)
    peers = [*PEERS, COMPILED] if options.compiled else [*PEERS]
    rounds, tokens = (3, 24) if options.quick else (7, 64)
    names = [*OURS, *peers, "one stream", "many streams"]
    clock = "1 thread, seconds of its work" if options.cpu_time else f"{THREADS} threads"
    print(f"{clock}, PyTorch {torch.__version__}; {PROMPT} tokens of prompt, {tokens} generated, {rounds} rounds")
    contenders = {name: Contender(name, options.cpu_time) for name in names}
    for _ in range(rounds):
        for contender in contenders.values():
            contender.turn(tokens)
    for contender in contenders.values():
        contender.end()
    for name, contender in contenders.items():
        rates = contender.rates
        span = f"({min(rates):,.1f} to {max(rates):,.1f})"
        print(f"  {name:<28}{statistics.median(rates):>9,.1f} tokens/s {span:<20}{contender.latency()}")
    best = max(peers, key=lambda name: statistics.median(contenders[name].rates))
    for name, target in OURS.items():
        _claim(name, contenders[name], contenders[best], target)
    _claim("concurrent", contenders["many streams"], contenders["one stream"], CONCURRENT_TARGET)
    return 0


def _claim(claim: str, ours: Contender, peer: Contender, target: float | None) -> None:
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours.rates, peer.rates, strict=True))
    figures = {"ours": statistics.median(ours.rates), "peer": statistics.median(peer.rates), "unit": "tokens/s"}
    print(json.dumps({"claim": claim, **figures, "ratio": ratio, "target": target, "against": peer.name}))


class Contender:
    """A process that generates when it is told to."""

    def __init__(self, name: str, cpu_time: bool) -> None:
        self.name = name
        self.turns: list[dict[str, Any]] = []
        threads = "1" if cpu_time else str(THREADS)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        command = [sys.executable, __file__, "--contender", name, *(["--cpu-time"] if cpu_time else [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer()  # loaded, and warm

    @property
    def rates(self) -> list[float]:
        """Tokens per second of each turn, prompts included."""
        return [turn["rate"] for turn in self.turns]

    def turn(self, tokens: int) -> None:
        """Generates so many tokens in each stream."""
        self._ask(str(tokens))
        self.turns.append(self._answer())

    def end(self) -> None:
        """Ends the process."""
        self._ask("end")
        self._process.communicate()

    def latency(self) -> str:
        """Time to first token and between tokens, where it was measured."""
        first = [value for turn in self.turns for value in turn.get("first", ())]
        between = [value for turn in self.turns for value in turn.get("between", ())]
        if not first:
            return ""
        spans = [f"p50 {_ms(times, 0.5)} p95 {_ms(times, 0.95)}" for times in (first, between)]
        return "first token {}, then {}".format(*spans)

    def _ask(self, what: str) -> None:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise SystemExit(f"{self.name} ended with exit code {self._process.wait()}.")


def _ms(values: Sequence[float], share: float) -> str:
    return f"{1000 * sorted(values)[min(int(share * len(values)), len(values) - 1)]:,.1f} ms"


# --- in a contender's process ----------------------------------------------------------------------------------------


def _contend(name: str, cpu_time: bool) -> int:
    torch.set_num_threads(1 if cpu_time else THREADS)
    clock = time.process_time if cpu_time else time.perf_counter
    if name in OURS:
        turn = _engine(name)
    elif "stream" in name:
        turn = _service(STREAMS if name == "many streams" else 1)
    else:
        turn = _transformers(name)
    turn(8)
    print("{}", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        began = clock()
        made = turn(int(line))
        print(json.dumps(made | {"rate": made["tokens"] / (clock() - began)}), flush=True)
    return 0


def _model(kind: str = "none") -> Transformer:
    return quantise(initialise(Transformer(MODEL, VOCABULARY), 0).eval(), kind)  # type: ignore[arg-type]


def _prompt(number: int) -> list[int]:
    return torch.randint(VOCABULARY, (PROMPT,), generator=torch.Generator().manual_seed(number)).tolist()


def _greedy(tokens: int) -> SamplingConfig:
    return SamplingConfig(temperature=0.0, max_tokens=tokens)


def _load_engine(kind: str) -> Engine:
    tokenizer: Any = SimpleNamespace(token_bytes=lambda token: b"x", roles={}, eos_id=-1)  # texts are not looked at
    return Engine(_model("none" if kind == "float32" else kind), tokenizer)


def _engine(kind: str) -> Turn:
    engine = _load_engine(kind)
    count = 0

    def turn(tokens: int) -> dict[str, Any]:
        nonlocal count
        count += 1
        return {"tokens": len(list(engine.stream(_prompt(count), _greedy(tokens), stop_ids=())))}

    return turn


def _service(streams: int) -> Turn:
    service = GenerationService(_load_engine("float32"), slots=STREAMS)
    count = 0

    def turn(tokens: int) -> dict[str, Any]:
        nonlocal count
        listeners = []
        began = time.perf_counter()
        for _ in range(streams):
            count += 1
            listeners.append(_Listener())
            service.submit(GenerationRequest(_prompt(count), _greedy(tokens), stop_ids=()), listeners[-1])
        for listener in listeners:
            listener.ended.wait()
        times = [listener.times for listener in listeners]
        return {
            "tokens": sum(map(len, times)),
            "first": [own[0] - began for own in times],
            "between": [later - earlier for own in times for earlier, later in pairwise(own)],
        }

    return turn


class _Listener:
    """Notes when each token came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.ended = threading.Event()

    def __call__(self, event: TokenEvent) -> None:
        self.times.append(time.perf_counter())
        if event.finish_reason is not None:
            self.ended.set()


def _transformers(name: str) -> Turn:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    values = hf_config(MODEL, VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    model: Any = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen3"](**values), attn_implementation="sdpa")
    model.load_state_dict(_model().state_dict(), strict=False)
    model.tie_weights()
    model = model.eval().to(torch.bfloat16 if "bf16" in name else torch.float32)
    cache = "static" if "static" in name else "dynamic"
    count = 0

    def turn(tokens: int) -> dict[str, Any]:
        nonlocal count
        count += 1
        ids = torch.tensor([_prompt(count)])
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            eos_token_id=None,
            pad_token_id=0,
            cache_implementation=cache,
            disable_compile=name != COMPILED,
        )
        return {"tokens": made.shape[1] - PROMPT}

    return turn


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
