"""`lumi sft`: what it shows before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import lumi
from tiny_pipeline import digests

from lumilab.pipeline.records import read_records


def test_show_mask_prints_examples_and_does_not_fine_tune(copy: Path) -> None:
    before = digests(copy / "run")
    done = lumi("sft", copy / "recipe.yaml", "--show-mask", "--examples", "2", "--out", "run", cwd=copy, check=0)
    assert done.stdout.count("⟦") == done.stdout.count("⟧") == 2
    assert done.stdout.count("<|im_end|>⟧") == 2
    assert "example 1 of" in done.stdout and "of them trained" in done.stdout
    assert digests(copy / "run") == before


TURN = b'{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}'
MALFORMED = [
    b'{"messages": [{"role": "user", "content": "Q"}]}',
    b'{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": " "}]}',
    b'{"messages": [{"role": "king", "content": "Q"}, {"role": "assistant", "content": "A"}]}',
    b'{"messages": [{"role": "user", "content": null}, {"role": "assistant", "content": "A"}]}',
    b'{"messages": [' + b", ".join([TURN] * 100) + b"]}",
    b'{"messages": [{"role": "user", "content": "' + b"Q" * 2**20 + b'"}, {"role": "assistant", "content": "A"}]}',
    b'{"messages": null}',
    b"not JSON",
    b'{"messages": [{"role": "user", "content": "\xff"}, {"role": "assistant", "content": "A"}]}',
    b"null",
]  # fmt: skip
REASONS = [
    "no answer", "empty content", "unknown role", "content is not text", "more than 100 messages",
    "a message of more than 200,000 characters", "no messages", "not valid JSON", "invalid UTF-8", "not an object",
]  # fmt: skip


def test_malformed_conversations_are_counted_quarantined_and_explained(copy: Path) -> None:
    path = copy / "conversations.jsonl"
    good = path.read_bytes().count(b"\n")
    path.write_bytes(path.read_bytes() + b"".join(row + b"\n" for row in MALFORMED))
    command = ("sft", copy / "recipe.yaml", "--show-mask", "--out", "run")
    refused = lumi(*command, cwd=copy, check=3)
    assert (
        f"{len(MALFORMED)} of {good + len(MALFORMED)} rows of the source 'messages' are no conversations"
        in refused.stderr
    )
    assert all(f"1 {reason}" in refused.stderr for reason in REASONS)
    assert f"row {good + 1}: no answer (there is no assistant message" in refused.stderr
    assert "raise conversations.max_bad_share" in refused.stderr and "Traceback" not in refused.stderr
    allowed = lumi(*command, "conversations.max_bad_share=0.2", cwd=copy, check=0)
    assert f"{good} of {good + len(MALFORMED)} conversations kept" in allowed.stdout + allowed.stderr
    listed = copy / "run" / read_records(copy / "run")["conversations"].path / "quarantine.jsonl"
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in rows] == [
        (good + number, reason) for number, reason in enumerate(REASONS, start=1)
    ]
