"""Training on two threads of a CPU: ours, transformers' Qwen3 and Llama, and litgpt, compiled, on the same work.

Two shapes, vocabulary 32 768, tied embeddings, 8 rows of 512 random tokens a step: 6 layers of 256 with 4 heads, 12 of
512 with 8. Forward pass with each one's own loss (theirs are given the labels), backward pass, clipping, fused AdamW.
In bfloat16 where the CPU multiplies it (theirs under autocast), else in float32. Ours is a step of `lumi`'s own loop;
it normalises queries and keys against Qwen3 and litgpt, and does not against Llama.

Each contender is a process of its own, so that its peak memory is its own. They take turns, one at work and the others
asleep; a ratio is the median over rounds of ours against theirs in the same round. Peak memory is that of the whole
process, libraries and compiling included.

litgpt is left out where it is not installed. Its pins conflict with ours, so install it and what it imports without
dependencies: pip install --no-deps litgpt lightning lightning-utilities torchmetrics
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import Devices
from lumilab.training.hardware import Hardware, cpu_bfloat16, keep_freed_memory, native_bfloat16, repeatable
from lumilab.training.learner import Learner
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.parallel import distribute
from lumilab.training.step import take_step

VOCABULARY, ROWS, LENGTH, THREADS, ROUNDS = 32_768, 8, 512, 2, 7
CPU = torch.device("cpu")


class Shape(NamedTuple):
    """A model's size, and the ratios aimed at: tokens/s against Qwen3, and Qwen3's peak memory against ours."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    faster: float
    smaller: float | None

    def __str__(self) -> str:
        return f"{self.layers} x {self.width} x {self.heads}"


SHAPES = (Shape(6, 256, 4, 768, 2.5, 2.0), Shape(12, 512, 8, 1_408, 1.5, None))
Step = Callable[[], float]  # one step; gives its loss


def main(arguments: Sequence[str]) -> int:
    """Prints both tables and one JSON line per claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the small shape, three rounds, without Llama and litgpt")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contender:
        return _contend(options.contender, SHAPES[options.shape])
    names = ["ours", "qwen3"] if options.quick else list(CONTENDERS)
    if not options.quick and not _litgpt_there():
        names.remove("litgpt")
        print("litgpt is left out: it is not installed, or what it imports is not.")
    arithmetic = f"bfloat16 ({cpu_bfloat16()})" if native_bfloat16(CPU) else "float32, as this CPU has no bfloat16"
    print(f"{THREADS} threads, {arithmetic}, PyTorch {torch.__version__}; {ROWS} x {LENGTH} tokens a step")
    for number, shape in enumerate(SHAPES[:1] if options.quick else SHAPES):
        _compare(names, number, shape, 3 if options.quick else ROUNDS)
    return 0


# --- turns -----------------------------------------------------------------------------------------------------------


class Contender:
    """A process that trains a step when it is told to."""

    def __init__(self, name: str, shape: int) -> None:
        command = [sys.executable, __file__, "--contender", name, "--shape", str(shape)]
        self.name = name
        self.turns: list[dict[str, float]] = []
        environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.ready = self._answer()  # compiled, and warm

    def turn(self) -> None:
        """Trains one step."""
        self._ask("step")
        self.turns.append(self._answer())

    def end(self) -> float:
        """Ends the process; gives its peak memory in bytes."""
        self._ask("end")
        peak = self._answer()["peak"]
        self._process.communicate()
        return peak

    def median(self, quantity: str) -> float:
        """Of the turns."""
        return statistics.median(turn[quantity] for turn in self.turns)

    def speeds(self) -> list[float]:
        """Tokens per second of wall time in each turn."""
        return [ROWS * LENGTH / turn["wall"] for turn in self.turns]

    def _ask(self, what: str) -> None:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, float] = json.loads(line)
                return answer
        raise SystemExit(f"{self.name} ended with exit code {self._process.wait()}.")


def _compare(names: Sequence[str], number: int, shape: Shape, rounds: int) -> None:
    contenders = {name: Contender(name, number) for name in names}
    for _ in range(rounds):
        for contender in contenders.values():
            contender.turn()
    peaks = {name: contender.end() for name, contender in contenders.items()}
    print(f"{shape}: median of {rounds} rounds (lowest to highest)")
    print(f"  {'':<12}{'tokens/s':>10} {'':<20}{'CPU s a step':>14}{'peak GB':>9}{'to compile':>12}  loss")
    for name, contender in contenders.items():
        speeds, first, last = contender.speeds(), contender.ready["loss"], contender.turns[-1]["loss"]
        print(
            f"  {name:<12}{statistics.median(speeds):>10,.0f} {f'({min(speeds):,.0f} to {max(speeds):,.0f})':<20}"
            f"{contender.median('cpu'):>14.3f}{peaks[name] / 1e9:>9.2f}{contender.ready['seconds']:>10.0f} s"
            f"  {first:.2f} to {last:.2f}"
        )
    for name, (_, against) in CONTENDERS.items():
        if against is not None and name in contenders:
            _claims(shape, contenders[against], contenders[name], peaks[against], peaks[name])


def _claims(shape: Shape, ours: Contender, peer: Contender, our_peak: float, peer_peak: float) -> None:
    targets = (shape.faster, shape.smaller) if peer.name == "qwen3" else (None, None)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours.speeds(), peer.speeds(), strict=True))
    speeds = {"ours": statistics.median(ours.speeds()), "peer": statistics.median(peer.speeds()), "unit": "tokens/s"}
    memory = {"ours": our_peak / 1e9, "peer": peer_peak / 1e9, "unit": "GB", "ratio": peer_peak / our_peak}
    print(json.dumps({"claim": f"{peer.name} {shape}", **speeds, "ratio": ratio, "target": targets[0]}))
    print(json.dumps({"claim": f"{peer.name} {shape}, memory", **memory, "target": targets[1]}))


# --- in a contender's process ----------------------------------------------------------------------------------------


def _contend(name: str, shape: Shape) -> int:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    began = time.perf_counter()
    step = CONTENDERS[name][0](shape)
    loss = step()
    step()
    print(json.dumps({"seconds": time.perf_counter() - began, "loss": loss}), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        wall, cpu = time.perf_counter(), time.process_time()
        loss = step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "loss": loss}), flush=True)
    print(json.dumps({"peak": _peak_memory()}), flush=True)
    return 0


def _peak_memory() -> float:
    """The most bytes of real memory that this process had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


def _tokens() -> tuple[Tensor, Tensor]:
    text = torch.randint(0, VOCABULARY, (ROWS, LENGTH + 1))
    return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def _ours(shape: Shape, *, qk_norm: bool = True) -> Step:
    """As `lumi` trains: the settings of lumilab/training/loop.py, and its step."""
    keep_freed_memory()
    repeatable(CPU).__enter__()  # for as long as the process lives
    config = ModelConfig(
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        kv_heads=shape.heads,
        head_dim=shape.width // shape.heads,
        feed_forward=shape.feed_forward,
        context=LENGTH,
        qk_norm=qk_norm,
    )
    model = initialise(Transformer(config, VOCABULARY), 0)
    model.activation_dtype = dtype = torch.bfloat16 if native_bfloat16(CPU) else torch.float32
    loss_of = distribute(model, summed_cross_entropy, Hardware(CPU, dtype, compiled=True), Devices(), "auto")
    learner = Learner(model, TrainingConfig(), dtype)
    batch = Batch(*_tokens())
    return lambda: take_step(learner, loss_of, batch, 0, 1.0, Devices(), rows=None, clip=1.0).wait().loss


def _ours_llama(shape: Shape) -> Step:
    return _ours(shape, qk_norm=False)


def _transformers(family: str, shape: Shape) -> Step:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[family](
        vocab_size=VOCABULARY,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        use_cache=False,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    compiled = torch.compile(model, dynamic=False)
    ids, _ = _tokens()
    return _usual(model, lambda: compiled(input_ids=ids, labels=ids).loss)  # it shifts the labels itself


def _qwen3(shape: Shape) -> Step:
    return _transformers("qwen3", shape)


def _llama(shape: Shape) -> Step:
    return _transformers("llama", shape)


def _litgpt_there() -> bool:
    if importlib.util.find_spec("litgpt") is None:
        return False
    return subprocess.run([sys.executable, "-c", "import litgpt"], capture_output=True, check=False).returncode == 0


def _litgpt(shape: Shape) -> Step:
    """As its `litgpt pretrain` does a step, with tied embeddings."""
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=LENGTH,
        padded_vocab_size=VOCABULARY,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_embd=shape.width,
        head_size=shape.width // shape.heads,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_qk=True,
        mlp_class_name="LLaMAMLP",
        intermediate_size=shape.feed_forward,
    )
    model = GPT(config)
    model.apply(_normal)
    model.transformer.wte.weight = model.lm_head.weight
    compiled = torch.compile(model, dynamic=False)
    ids, labels = _tokens()
    return _usual(model, lambda: chunked_cross_entropy(compiled(ids), labels, chunk_size=0))


def _normal(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)


def _usual(model: nn.Module, loss_of: Callable[[], Tensor]) -> Step:
    """A training step around a model of another library, as its users write it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    autocast: Any = torch.autocast("cpu", torch.bfloat16, enabled=native_bfloat16(CPU))

    def step() -> float:
        with autocast:
            loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


# Each with what it is compared with, which is none for ours.
CONTENDERS: dict[str, tuple[Callable[[Shape], Step], str | None]] = {
    "ours": (_ours, None),
    "ours (llama)": (_ours_llama, None),
    "qwen3": (_qwen3, "ours"),
    "llama": (_llama, "ours (llama)"),
    "litgpt": (_litgpt, "ours"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
