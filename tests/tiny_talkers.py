"""Two small models for tests of the server, and the server itself as a process with them.

The talker has learned a few answers by heart, so what it says is known. The babbler is untrained and, always taking the
likeliest token, never stops, so an answer of its goes on until somebody stops it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny_chat import MODEL, SEED, tiny_model
from tiny_pipeline import environment

from lumilab.artifact import Artifact
from lumilab.model import Transformer, initialise
from lumilab.posttraining.chat_files import chat_files
from lumilab.posttraining.messages import ASSISTANT, USER, Message
from lumilab.posttraining.template import render
from lumilab.recipe.section import identity
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import publish_checkpoint

GREETING = "Say hello"
SCRIPT = "Write a script"
ANSWERS = {
    GREETING: "Hello 😀 wörld, ça va? 日本",
    SCRIPT: "<script>document.title='run'</script><img src=x onerror=alert(1)> **done**",
}
STEPS = 160
BABBLER_CONTEXT = 8192


def trained_talker(tokenizer: Tokenizer) -> Transformer:
    """A model that has learned ANSWERS by heart."""
    config = MODEL.model_copy(update={"context": 512, "width": 64, "feed_forward": 128})
    model = initialise(Transformer(config, tokenizer.vocabulary_size), SEED)
    rows = [render([Message(USER, asked), Message(ASSISTANT, said)], tokenizer) for asked, said in ANSWERS.items()]
    means = [torch.zeros_like(parameter) for parameter in model.parameters()]
    squares = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for step in range(1, STEPS + 1):
        loss = torch.zeros(())
        for row in rows:
            ids = torch.tensor([row.ids])
            logits = model.logits(model.features(ids[:, :-1]))[0]
            trained = torch.tensor(row.trained[1:])
            loss = loss + torch.nn.functional.cross_entropy(logits[trained], ids[0, 1:][trained])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        # Adam by hand: torch.optim takes seconds to import.
        torch._foreach_lerp_(means, gradients, 0.1)
        torch._foreach_lerp_(squares, [gradient**2 for gradient in gradients], 0.01)
        rate = 1e-2 * min(1.0, (STEPS - step) / 60)
        with torch.no_grad():
            for parameter, mean, square in zip(model.parameters(), means, squares, strict=True):
                root = (square / (1 - 0.99**step)).sqrt() + 1e-8
                parameter.sub_(rate * mean / (1 - 0.9**step) / root)
    return model.eval()


def endless_babbler(tokenizer: Tokenizer) -> Transformer:
    """A model to which no special token is ever the likeliest, and seldom among the likely ones."""
    model = tiny_model(tokenizer, config=MODEL.model_copy(update={"context": BABBLER_CONTEXT}))
    with torch.no_grad():
        model.output_weight[list(tokenizer.special_names)] = 0
    return model


def publish(target: Path, tokenizer_artifact: Artifact, model: Transformer) -> Path:
    """A checkpoint of a model with all it needs to chat."""
    tokenizer = Tokenizer.load(tokenizer_artifact.path)
    config = {
        "stage": "sft",
        "model": identity(model.config),
        "vocabulary_size": tokenizer.vocabulary_size,
        "tokenizer_identity": tokenizer.identity,
    }
    files = chat_files(tokenizer, model.config.context)
    inputs = {"tokenizer": tokenizer_artifact}
    return publish_checkpoint(target, model, config=config, inputs=inputs, tokenizer=tokenizer, files=files).path


@dataclass
class LiveServer:
    """A server process.

    Attributes:
        url: its address.
        process: the process.
        log: lines of its standard error so far.
    """

    url: str
    process: subprocess.Popen[str]
    log: list[str]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all samples that have these labels."""
        import httpx
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(httpx.get(f"{self.url}/metrics", timeout=60).text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def wait_for(self, name: str, value: float, **labels: str) -> None:
        """Waits until a metric has a value."""
        give_up = time.monotonic() + 60
        while (now := self.metric(name, **labels)) != value:
            assert time.monotonic() < give_up, f"{name} is {now}, not {value}"
            time.sleep(0.05)


@contextmanager
def lumi_serve(*words: str | Path, **variables: str) -> Iterator[LiveServer]:
    """Runs `lumi serve WORDS` on a free port; ends it with SIGTERM if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lumilab", "serve", *map(str, words), "--port", "0"],
        env=environment() | variables, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    log: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"http://[^\s(]+", line):
                break
        else:
            raise AssertionError("".join(log))
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        yield LiveServer(found[0], process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if os.name != "nt" else signal.CTRL_BREAK_EVENT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


# --- fixtures: the rooms that need them import them into their conftest.py ---------------------------------------


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact, tokenizer: Tokenizer) -> Path:
    return publish(tmp_path_factory.mktemp("talker") / "model", tokenizer_artifact, trained_talker(tokenizer))


@pytest.fixture(scope="session")
def babbler(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact, tokenizer: Tokenizer) -> Path:
    return publish(tmp_path_factory.mktemp("babbler") / "model", tokenizer_artifact, endless_babbler(tokenizer))


@pytest.fixture(scope="session")
def live(talker: Path, babbler: Path) -> Iterator[LiveServer]:
    """One server for all tests that do not stop it."""
    with lumi_serve(f"talker={talker}", f"babbler={babbler}", "--slots", "4", "--queue", "8") as server:
        yield server
