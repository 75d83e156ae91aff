"""Sources in a build: rows that are refused, filters, weights, forms of chat, formats, the hub, and real data."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from stand_in_hub import Repository, environment, stand_in_hub
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact, raw_files
from lumilab.errors import InputError
from lumilab.posttraining.conversations import build_conversations
from lumilab.posttraining.examples import Examples, form_of
from lumilab.posttraining.preference_data import PairSource
from lumilab.posttraining.sources import Limits
from lumilab.recipe.conversations import (
    AlpacaConversations,
    ColumnsConversations,
    ConversationsConfig,
    HHPairs,
    JudgedConversations,
    MessagesConversations,
    PromptPairs,
    RowConversations,
    ShareGPTConversations,
)
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.stopping import StopRequest

Build = Callable[..., Artifact]


@pytest.fixture
def build(tokenizer_artifact: Artifact, tmp_path: Path) -> Build:
    def run(*sources: RowConversations, window: int = 96, name: str = "out", **values: Any) -> Artifact:
        config = ConversationsConfig(sources=list(sources), validation_share=0.2, **values)
        return build_conversations(config, window, 1, tokenizer_artifact, tmp_path / name, quiet_context()[0])

    return run


def turns(count: int, number: int = 0) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[place % 2], "content": f"river {number} {place}"} for place in range(count)]}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


BAD = [
    ({"messages": [{"role": "user", "content": "Q"}]}, "no answer"),
    ({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": " "}]}, "empty content"),
    ({"messages": [{"role": "king", "content": "Q"}, {"role": "assistant", "content": "A"}]}, "unknown role"),
    ({"messages": [{"role": "assistant", "content": "A"}, {"role": "user", "content": "Q"}]}, "roles out of order"),
    (turns(200), "more than 100 messages"),
    (
        {"messages": [{"role": "user", "content": "Q" * 2**20}, {"role": "assistant", "content": "A"}]},
        "a message of more than 200,000 characters",
    ),
    ({"messages": [{"role": None, "content": None}]}, "unknown role"),
    ({"messages": [{"role": "user", "content": None}, {"role": "assistant", "content": "A"}]}, "content is not text"),
    ({"messages": None}, "no messages"),
    (None, "not an object"),
]


def test_malformed_rows_are_counted_quarantined_and_explained(build: Build, tmp_path: Path) -> None:
    good = [turns(2, number) for number in range(20)]
    path = write(tmp_path / "a.jsonl", [*good, *(row for row, _ in BAD)])
    artifact = build(MessagesConversations(paths=[path]), max_bad_share=0.5)
    listed = [json.loads(line) for line in artifact.file("quarantine.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"], row["reason"]) for row in listed] == [
        ("a.jsonl", 21 + place, reason) for place, (_, reason) in enumerate(BAD)
    ]
    assert all(row["detail"] for row in listed)
    counts = artifact.manifest.statistics["sources"]["messages"]
    assert counts["read"] == 30 and counts["kept"] == 20 and sum(counts["dropped"].values()) == 10


def test_too_many_of_them_end_the_build_with_examples(build: Build, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*(turns(2, number) for number in range(20)), BAD[0][0], BAD[2][0]])
    with pytest.raises(InputError) as caught:
        build(MessagesConversations(paths=[path]))
    assert caught.value.exit_code == 3
    for words in ("2 of 22 rows", "9.1%", f"{path}, row 21: no answer", "role 'king'"):
        assert words in caught.value.what
    assert not (tmp_path / "out").exists()


def test_lengths_and_turns_are_filters_with_counts(build: Build, tmp_path: Path) -> None:
    rows = [*(turns(4, number) for number in range(20)), turns(2, 50), turns(40, 51)]
    artifact = build(MessagesConversations(paths=[write(tmp_path / "a.jsonl", rows)]), min_turns=4)
    dropped = artifact.manifest.statistics["sources"]["messages"]["dropped"]
    assert dropped == {"fewer than 4 messages": 1, "longer than 96 tokens": 1}
    least = min(1 + length for split in ("train", "validation") for length in Examples.open(artifact, split).lengths())
    short = build(MessagesConversations(paths=[str(tmp_path / "a.jsonl")]), name="short", min_tokens=least)
    dropped = short.manifest.statistics["sources"]["messages"]["dropped"]
    assert dropped == {f"shorter than {least} tokens": 1, "longer than 96 tokens": 1}


def test_weights_say_how_often_a_conversation_is_trained_on(build: Build, tmp_path: Path, tokenizer: Tokenizer) -> None:
    sources = []
    for name, weight in (("once", 1.0), ("often", 3.0), ("some", 0.5)):
        rows = [{"question": f"{name} {number}?", "answer": "river"} for number in range(100)]
        path = write(tmp_path / f"{name}.jsonl", rows)
        sources.append(ColumnsConversations(name=name, paths=[path], weight=weight))
    artifact = build(*sources)
    train = Examples.open(artifact, "train")
    texts = [tokenizer.decode(train.rendered(number).ids) for number in range(len(train))]
    held = [tokenizer.decode(v.rendered(n).ids) for v in [Examples.open(artifact, "validation")] for n in range(len(v))]
    seen = {name: sum(f"{name} " in text for text in texts) for name in ("once", "often", "some")}
    kept = {name: 100 - sum(f"{name} " in text for text in held) for name in seen}
    assert seen["once"] == kept["once"] and seen["often"] == 3 * kept["often"]
    assert 25 < seen["some"] < 55 and len(set(texts)) == len(texts) - 2 * kept["often"]
    assert len(set(held)) == len(held) and not set(held) & set(texts)


@pytest.mark.parametrize("template", ["instruct", "user-assistant", "turn-ids"])
def test_the_form_is_the_recipes_and_known_to_what_is_made_of_it(
    template: str, build: Build, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [{"question": f"Q{n}", "answer": f"<think>\nbridge {n}\n</think>\nA"} for n in range(20)]
    source = ColumnsConversations(paths=[write(tmp_path / "a.jsonl", rows)])
    artifact = build(source, template=template, think="keep")
    form = form_of(artifact)
    assert (form.template.name, form.think) == (template, "keep")
    examples = Examples.open(artifact, "train")
    assert set(examples.ids[examples.trained != 0].tolist()) >= {form.template.end_id(tokenizer)}
    assert "bridge" not in tokenizer.decode(examples.ids[examples.trained != 0].tolist())
    assert "bridge" in tokenizer.decode(examples.ids.tolist())


def test_every_format_with_rows_is_read_and_so_is_the_hub(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [turns(4, number) for number in range(40)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    files = {
        "a.jsonl": lines,
        "a.jsonl.gz": gzip.compress(lines),
        "a.jsonl.zst": zstandard.compress(lines),
        "a.json": json.dumps(rows).encode(),
        "a.parquet": table.getvalue(),
    }
    made = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        made[name] = build(MessagesConversations(paths=[str(tmp_path / name)]), name=f"out-{name}")
    with stand_in_hub(owner__chats=Repository({"data/train-00000.parquet": table.getvalue()})) as hub:
        for name, value in environment(hub.endpoint, tmp_path).items():
            monkeypatch.setenv(name, value)
        made["hub"] = build(MessagesConversations(dataset="owner/chats"), name="out-hub")
    assert [file.name for file in raw_files(made["hub"])] == ["data/train-00000.parquet"]
    splits = {name: (artifact.path / "train/ids.npy").read_bytes() for name, artifact in made.items()}
    assert len(set(splits.values())) == 1


def test_pairs_are_read_for_preference_training(tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "chosen": "A", "rejected": "B"}, {"prompt": "Q", "chosen": "A", "rejected": "A"}]
    section = PromptPairs(paths=[write(tmp_path / "a.jsonl", rows)])
    pair, refused = PairSource(section, Limits(9, 99)).read(StopRequest())
    assert [side[-1].content for side in pair.sides] == ["A", "B"]  # type: ignore[union-attr]
    assert (refused.line, refused.reason) == (2, "no preference")  # type: ignore[union-attr]


REAL: dict[str, tuple[type[RowConversations], dict[str, Any], int, int]] = {
    # file: (section, settings, rows, conversations of them)
    "alpaca/alpaca.json": (AlpacaConversations, {}, 3000, 2999),
    "instruct-misc/alpaca_en_demo.json": (AlpacaConversations, {}, 999, 999),
    "instruct-misc/llms_from_scratch_instruction_data.json": (AlpacaConversations, {}, 1100, 1100),
    "instruct-misc/self_instruct_seed_tasks.jsonl": (AlpacaConversations, {}, 175, 175),
    "instruct-misc/glaive_toolcall_en_demo.json": (ShareGPTConversations, {}, 300, 300),
    "instruct-misc/v1_sft_demo.jsonl": (MessagesConversations, {}, 500, 500),
    "instruct-misc/reason_tool_use_demo_50.jsonl": (MessagesConversations, {}, 50, 50),
    "hh-rlhf": (HHPairs, {}, 2000, 1985),
    "preference-misc/dpo_en_demo.json": (PromptPairs, {}, 300, 300),
    "preference-misc/llms_from_scratch_preference.json": (PromptPairs, {}, 1100, 1094),
    "preference-misc/kto_en_demo.json": (JudgedConversations, {}, 300, 150),
    "reasoning-traces/r1_math.jsonl": (
        ColumnsConversations, {"question": "problem", "answer": "generated_solution"}, 40, 40,
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("file", REAL)
def test_public_data_is_read_whole(file: str, build: Build, shared_data: Path) -> None:
    section, settings, count, good = REAL[file]
    artifact = build(section(name="real", paths=[str(shared_data / file)], **settings), window=100_000)
    counts = artifact.manifest.statistics["sources"]["real"]
    duplicates = counts["dropped"].get("duplicate", 0)
    assert (counts["read"], counts["kept"] + duplicates) == (count, good)
