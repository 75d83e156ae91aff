"""A run's folder as the stages would leave it, written by hand: artifacts, logs and results with figures known here.

Nothing is trained: the artifacts hold what pages and monitors read, and are published as all artifacts are. Texts hold
what a page must not take for markup.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder, write_atomically
from lumilab.pipeline.records import StageRecord, write_record

EVIL = "<script>document.title = 'run'</script><img src=x onerror=alert(1)>"
SHAPE = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "head_dim": 16, "feed_forward": 64, "context": 64}

CORPUS_CARD = {
    "totals": {"documents": 3, "characters": 300, "bytes": 310, "read": 4, "unreadable": {}, "dropped": {"short": 1}}
    | {"languages": {"en": 2}},
    "stages": [
        {"stage": "unreadable", "dropped": 0, "left": 4},
        {"stage": "length", "dropped": 1, "left": 3},
    ],
    "dropped": {"short": {"count": 1, "stage": "length", "samples": []}},
    "sources": [
        {"name": EVIL, "kind": "files", "licence": None, "documents": 3, "characters": 300, "bytes": 310, "read": 4}
    ],
    "parts": [
        {"source": EVIL, "part": "files", "read": 4, "unreadable": {}, "dropped": {"short": 1}, "documents": 3}
        | {"characters": 300, "samples": [], "lengths": {}}
        | {"lengths": {"shortest": 90, "longest": 110, "p05": 90, "p25": 95, "p50": 100, "p75": 105, "p95": 110}}
    ],
    "lengths": {"shortest": 90, "longest": 110, "p05": 90, "p25": 95, "p50": 100, "p75": 105, "p95": 110}
    | {"histogram": [[80, 100, 1], [100, 126, 2]]},
    "duplicates": None,
    "settings": {},
}

TOKENIZER_CARD = {
    "algorithm": "byte-level BPE",
    "vocabulary_size": 512,
    "reserved_tokens": 72,
    "identity": "ab" * 32,
    "roles": {"bos": "<|bos|>", "eos": "<|endoftext|>"},
    "all": {"documents": 3, "bytes": 310, "tokens": 100, "words": 50, "bytes_per_token": 3.1, "tokens_per_word": 2.0},
    "sources": {
        EVIL: {"documents": 3, "bytes": 310, "tokens": 100, "words": 50, "bytes_per_token": 3.1, "tokens_per_word": 2.0}
    },
    "round_trip": {"documents": 3, "changed": []},
    "vocabulary_used": {"tokens": 256, "share": 0.5},
    "trained_on": {EVIL: 300},
    "trained_on_characters": 300,
    "longest_tokens": [{"id": 300, "bytes": 6, "text": " <b>\n"}],
}

SPLIT = {"documents": 3, "bytes": 310, "tokens": 100, "windows": 1}
RESULTS = {
    "text": {"split": "validation", "windows": 1, "window": 64, "tokens": 64, "bytes": 200},
    "models": {"untrained": {"bits_per_byte": 8.0, "loss": 6.2}, "pretrain": {"bits_per_byte": 2.5, "loss": 4.0}},
    "baselines": {
        "uniform": {"loss": 6.24},
        "unigram": {"bits_per_byte": 3.0, "loss": 5.0},
        "xz -9e": {"bits_per_byte": 2.75},
    },
}


def publish(
    run: Path, stage: str, place: str, inputs: dict[str, Artifact], files: dict[str, Any], **more: Any
) -> Artifact:
    """Publishes a stage's result under a key and makes it the current one."""
    config, statistics = more.get("config", {}), more.get("statistics", {})
    with ArtifactBuilder(run / place, kind=more.get("kind", stage), config=config, inputs=inputs) as builder:
        for name, content in files.items():
            builder.write_json(name, content)
        builder.statistics = statistics
        artifact = builder.publish()
    digests = {name: each.digest for name, each in inputs.items()}
    key = next(part for part in reversed(Path(place).parts) if part != "final")
    record = StageRecord(key=key, path=place, digest=artifact.digest, config=config, inputs=digests, raw=None)
    write_record(run, stage, record)
    return artifact


def step(number: int, loss: float, seconds: float, **more: Any) -> dict[str, Any]:
    """One event "step" as the training loop writes it."""
    figures = {"loss": loss, "smoothed_loss": loss + 0.1, "learning_rate": 0.001 * number, "gradient_norm": 1.0}
    figures |= {"tokens": 64 * number, "skipped": 0, "tokens_per_second": 100.0 + number, "mfu": None, "memory": 10**9}
    return {"event": "step", "step": number, **figures, "seconds": seconds, **more}


def write_log(folder: Path, events: Sequence[dict[str, Any]]) -> Path:
    """A training's log, in the place of one that is there."""
    path = folder / "log.jsonl"
    write_atomically(path, "".join(json.dumps(event) + "\n" for event in events).encode())
    return path


def checkpoint(run: Path, stage: str, key: str, inputs: dict[str, Artifact], steps: int) -> Artifact:
    """A published model of a training stage."""
    config = {"stage": stage, "model": SHAPE, "vocabulary_size": 512, "training": {"steps": steps}, "seed": 1}
    place = f"checkpoints/{stage}/{key}/final"
    return publish(run, stage, place, inputs, {"model.json": {}}, kind="checkpoint", config=config)


PRETRAIN_EVENTS = [
    step(10, 6.0, 1.0, **{"mix/books": 0.75, "mix/web": 0.25}),
    {"event": "validation", "step": 10, "loss": 5.5, "bits_per_byte": 3.25},
    {"event": "sample", "step": 10, "prompt": "Once", "text": EVIL},
    {"event": "suite", "step": 10, "lambada/acc": 0.125, "lambada/acc_stderr": 0.0625},
    {"event": "skipped", "step": 15, "in_row": 1, "reason": "step 15: loss 99, gradient norm 1000"},
    step(20, 5.0, 3.0, **{"mix/books": 0.5, "mix/web": 0.5}),
    {"event": "validation", "step": 20, "loss": 4.75, "bits_per_byte": 2.5},
    {"event": "sample", "step": 20, "prompt": "Once", "text": "upon a time"},
    {
        "event": "suite",
        "step": 20,
        "lambada/acc": 0.25,
        "lambada/acc_stderr": 0.0625,
        "wikitext/word_perplexity": 812.0,
    },
]

PREFERENCE_EVENTS = [
    step(1, 0.7, 1.0, **{"rewards/chosen": 0.1, "rewards/rejected": 0.2, "rewards/accuracies": 0.25}),
    step(2, 0.6, 2.0, **{"rewards/chosen": 0.3, "rewards/rejected": -0.1, "rewards/accuracies": 0.75}),
    {"event": "validation", "step": 2, "loss": 0.65, "rewards/chosen": 0.2, "rewards/accuracies": 0.5},
]


def write_results(run: Path, name: str = "2026-01-02.json", **changes: Any) -> Path:
    """A file as `lumi eval` writes it."""
    stored = {
        "results": {
            "boolq": {"alias": "boolq", "acc,none": 0.5, "acc_stderr,none": 0.1, "sample_len": 25},
            "wikitext": {"alias": "wikitext", "word_perplexity,none": 812.0, "word_perplexity_stderr,none": "N/A"},
            "gsm8k": {"exact_match,strict-match": "N/A", "exact_match,flexible-extract": 0.04},
        },
        "n-samples": {"boolq": {"original": 3270, "effective": 25}},
        "higher_is_better": {"boolq": {"acc": True}, "wikitext": {"word_perplexity": False}},
        "n-shot": {"boolq": 0},
        "date": 1767312000,  # 2026-01-02 00:00 UTC
        "lumilab": {
            "model": EVIL,
            "digest": "cd" * 32,
            "stage": "pretrain",
            "step": 20,
            "baselines": {"boolq": {"majority": 0.62, "predicted": {"yes": 0.875, "no": 0.125}}},
            "assessment": [f"boolq is below its majority baseline {EVIL}"],
        },
    } | changes
    path = run / "evaluation_results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored), encoding="utf-8")
    return path


def write_run(run: Path) -> Path:
    """A finished run: every kind of figure a report can show is in it."""
    corpus = publish(run, "corpus", "corpus/c0", {}, {"card.json": CORPUS_CARD})
    tokenizer = publish(run, "tokenizer", "tokenizer/t0", {"corpus": corpus}, {"card.json": TOKENIZER_CARD})
    splits = {name: SPLIT | {"sources": [{"source": EVIL} | SPLIT]} for name in ("train", "validation")}
    dataset = publish(
        run,
        "dataset",
        "dataset/d0",
        {"corpus": corpus, "tokenizer": tokenizer},
        {"index.json": {}},
        config={"dataset": {"window": 64, "packing": "concat"}},
        statistics=splits,
    )
    statistics = {
        "train": {"conversations": 9, "tokens": 900},
        "sources": {EVIL: {"read": 10, "kept": 9, "dropped": {"empty content": 1}}},
    }
    pairs = publish(run, "pairs", "pairs/p0", {"tokenizer": tokenizer}, {"samples.json": []}, statistics=statistics)
    model = checkpoint(run, "pretrain", "m0", {"dataset": dataset, "tokenizer": tokenizer}, steps=20)
    write_log(model.path.parent, PRETRAIN_EVENTS)
    tuned = checkpoint(run, "preference", "q0", {"pretrain": model, "pairs": pairs}, steps=2)
    write_log(tuned.path.parent, PREFERENCE_EVENTS)
    answers = [{"prompt": "Who are you?", "text": EVIL, "finish_reason": "stop", "tokens": 3}]
    files = {"results.json": RESULTS, "samples.json": answers}
    publish(run, "evaluation", "evaluation/e0", {"pretrain": model, "dataset": dataset}, files)
    write_results(run)
    return run
