"""Scoring benchmarks on a CPU: our model in lm-evaluation-harness against the harness's own `hf` model.

12 layers of 512 with 8 heads and random weights, with CodeLlama's tokenizer (32,021 tokens), once as our checkpoint and
once as its export in transformers. Both get the same requests of the same tasks; the peer's batches have 16 texts, ours
2,048 tokens, which is about as many of these. Items a second count whole questions, with all their choices. The two
take turns, and the ratio is the median over rounds. The log-likelihoods of both are compared, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lumilab.evaluation.harness.find import TaskRequest, find_tasks
from lumilab.evaluation.harness.run import quiet_harness
from lumilab.inference.engine import Engine
from lumilab.interop.export_hf import export_hf
from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.section import identity
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.pretrained import import_tokenizer
from lumilab.training.checkpoint import publish_checkpoint
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

THREADS, BATCH, TARGET = 2, 16, 2.0
TASKS = ("hellaswag", "boolq", "piqa", "arc_easy", "winogrande", "lambada_openai")
MODEL = ModelConfig(layers=12, width=512, heads=8, kv_heads=8, head_dim=64, feed_forward=1_408, context=1_024)
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def main(arguments: Sequence[str]) -> int:
    """Prints a line for each task and one JSON line for all of them together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 items of each task, one round")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with a folder for each benchmark")
    options = parser.parse_args(arguments)
    if not (options.data / "hellaswag").is_dir():
        print(f"Skipped: the benchmarks' rows are not in {options.data}; name their folder with --data.")
        return 0
    items, rounds = (8, 1) if options.quick else (40, 3)
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder, quiet_harness():
        ours, peer = _models(Path(folder))
        machine = f"{THREADS} threads, PyTorch {torch.__version__}"
        print(f"{machine}; {items} items of each task, {rounds} rounds", flush=True)
        seconds: dict[str, list[list[float]]] = {}
        for task in TASKS:
            requests = _requests(task, items, options.data)
            seconds[task], furthest = _measure(ours, peer, requests, rounds)
            mine, theirs = (statistics.median(times) for times in seconds[task])
            print(
                f"  {task:<16}{items / mine:>8.2f} items/s ours{items / theirs:>8.2f} hf   {theirs / mine:.2f} x, "
                f"log-likelihoods at most {furthest:.1e} apart",
                flush=True,
            )
    totals = [[sum(times[who][turn] for times in seconds.values()) for turn in range(rounds)] for who in (0, 1)]
    rates = [len(TASKS) * items / statistics.median(each) for each in totals]
    ratio = statistics.median(theirs / mine for mine, theirs in zip(*totals, strict=True))
    claim = {"claim": "eval", "ours": rates[0], "peer": rates[1], "unit": "items/s", "ratio": ratio, "target": TARGET}
    print(json.dumps(claim))
    return 0


def _models(folder: Path) -> tuple[Any, Any]:
    """Ours and the peer, of the same weights."""
    from lm_eval.models.huggingface import HFLM

    from lumilab.evaluation.harness.model import HarnessModel

    context = WorkContext()
    source = SHARED / "tokenizers" / "codellama" / "tokenizer.reconstructed.model"
    config = TokenizerConfig(algorithm="pretrained", model_file=str(source))
    tokenizer = import_tokenizer(config, folder / "tokenizer", context)
    known = Tokenizer.load(tokenizer.path)
    model = initialise(Transformer(MODEL, known.vocabulary_size), 0)
    description = {
        "stage": "pretrain",
        "model": identity(MODEL),
        "vocabulary_size": known.vocabulary_size,
        "tokenizer_identity": known.identity,
        "seed": 0,
    }
    made = {"tokenizer": tokenizer}
    checkpoint = publish_checkpoint(folder / "model", model, config=description, inputs=made, tokenizer=known)
    exported, _ = export_hf(checkpoint, folder / "hf", "float32", unverified=True)
    peer = HFLM(pretrained=str(exported.path), device="cpu", dtype="float32", batch_size=BATCH)
    return HarnessModel(Engine.load(checkpoint.path, "cpu"), bos=False, stop=StopRequest()), peer


def _requests(name: str, items: int, data: Path) -> list[Any]:
    """What the harness would ask."""
    (found,) = find_tasks([TaskRequest(name, items)], data)
    (task,) = found.loaded
    task.set_config(key="num_fewshot", value=0)
    task.build_all_requests(limit=items)
    return list(task.instances)


def _measure(ours: Any, peer: Any, requests: list[Any], rounds: int) -> tuple[list[list[float]], float]:
    """Seconds of each, round by round, and how far apart the answers are at most."""
    seconds: list[list[float]] = [[], []]
    answers: list[Any] = [None, None]
    for _ in range(rounds):
        for who, model in enumerate((ours, peer)):
            began = time.perf_counter()
            answers[who] = model.loglikelihood(requests, disable_tqdm=True)
            seconds[who].append(time.perf_counter() - began)
    return seconds, max(abs(mine[0] - theirs[0]) for mine, theirs in zip(*answers, strict=True))


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.exit(main(sys.argv[1:]))
