"""The conversations artifact: what is kept, what is dropped and why, and that the split is the seed's and the id's."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact, raw_files, walk
from lumilab.errors import ConfigError, DamageError, InputError, Interrupted
from lumilab.posttraining import gathering as module
from lumilab.posttraining.conversations import build_conversations, conversations_identity, raw_inventory
from lumilab.posttraining.examples import Examples
from lumilab.posttraining.messages import parse_messages
from lumilab.posttraining.template import render
from lumilab.recipe.conversations import ConversationsConfig, MessagesConversations
from lumilab.tokenizer.load import Tokenizer

Build = Callable[..., Artifact]


def row(number: int, words: int = 3) -> dict[str, Any]:
    answer = " ".join(["bridge"] * words) + f" {number}"
    return {"messages": [{"role": "user", "content": f"river {number}?"}, {"role": "assistant", "content": answer}]}


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return path


@pytest.fixture
def reported() -> list[str]:
    """What the builds have told the reader."""
    return []


@pytest.fixture
def build(tokenizer_artifact: Artifact, tmp_path: Path, reported: list[str]) -> Build:
    def run(*paths: Path, name: str = "out", seed: int = 1, window: int = 96, **values: Any) -> Artifact:
        config = ConversationsConfig(
            sources=[MessagesConversations(paths=[str(path) for path in paths])],
            validation_share=0.25,
            max_bad_share=0.5,
        ).model_copy(update=values)
        context, said = quiet_context()
        artifact = build_conversations(config, window, seed, tokenizer_artifact, tmp_path / name, context)
        reported.append(said.getvalue())
        return artifact

    return run


def texts(artifact: Artifact, split: str, tokenizer: Tokenizer) -> list[str]:
    examples = Examples.open(artifact, split)
    starts = [0, *examples.ends[:-1].tolist()] if len(examples) else []
    return [
        tokenizer.decode(examples.ids[start:end].tolist(), keep_special=True)
        for start, end in zip(starts, examples.ends.tolist(), strict=True)
    ]


def test_every_conversation_is_in_one_split_as_the_renderer_made_it(
    build: Build, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [row(number) for number in range(60)]
    artifact = build(write_rows(tmp_path / "a.jsonl", rows))
    found = texts(artifact, "train", tokenizer) + texts(artifact, "validation", tokenizer)
    rendered = [render(parse_messages(item), tokenizer).ids for item in rows]
    assert sorted(found) == sorted(tokenizer.decode(ids, keep_special=True) for ids in rendered)
    assert len(texts(artifact, "validation", tokenizer)) > 4


def test_masks_are_the_renderers(build: Build, tmp_path: Path, tokenizer: Tokenizer) -> None:
    examples = Examples.open(build(write_rows(tmp_path / "a.jsonl", [row(number) for number in range(9)])), "train")
    trained = examples.ids[examples.trained != 0]
    text = tokenizer.decode(trained.tolist(), keep_special=True)
    assert text.count("<|im_end|>") == len(examples)
    assert "river" not in text and "bridge" in text


def test_statistics_are_those_of_the_arrays(build: Build, tmp_path: Path) -> None:
    artifact = build(write_rows(tmp_path / "a.jsonl", [row(number) for number in range(30)]))
    for split in ("train", "validation"):
        ids, trained, ends = (np.load(artifact.file(f"{split}/{name}.npy")) for name in ("ids", "trained", "ends"))
        assert artifact.manifest.statistics[split] == {
            "conversations": len(ends),
            "tokens": len(ids),
            "trained_tokens": int(trained.sum()),
        }
        assert ids.dtype == np.uint16
    assert artifact.manifest.statistics["sources"]["messages"]["kept"] == 30


def test_bad_rows_are_quarantined_with_file_line_and_reason(build: Build, tmp_path: Path, reported: list[str]) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row(number) for number in range(20)])
    with path.open("ab") as file:
        file.write(b'{"messages": []}\n{"messages": [\n\xff\xfe\n\n[1]\n')
        file.write(b'{"messages": [{"role": "user", "content": "Q"}]}\n')
    artifact = build(path)
    quarantined = [json.loads(line) for line in artifact.file("quarantine.jsonl").read_text().splitlines()]
    assert [(entry["file"], entry["line"], entry["reason"]) for entry in quarantined] == [
        ("a.jsonl", 21, "no messages"),
        ("a.jsonl", 22, "not valid JSON"),
        ("a.jsonl", 23, "invalid UTF-8"),
        ("a.jsonl", 25, "not an object"),
        ("a.jsonl", 26, "no answer"),
    ]
    counts = artifact.manifest.statistics["sources"]["messages"]
    assert counts["read"] == 25
    assert counts["kept"] == 20
    assert counts["dropped"]["no answer"] == 1
    assert "20 of 25 conversations kept" in reported[0]
    assert str(artifact.path / "quarantine.jsonl") in reported[0].replace("\n", "")


def test_long_ones_and_repeated_ones_are_dropped_and_counted(
    build: Build, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [row(number) for number in range(20)] + [row(3), row(99, words=200), row(98, words=90)]
    artifact = build(write_rows(tmp_path / "a.jsonl", rows))
    counts = artifact.manifest.statistics["sources"]["messages"]
    assert counts["dropped"] == {"duplicate": 1, "longer than 96 tokens": 2}
    assert max(Examples.open(artifact, "train").lengths()) < 96


def test_max_tokens_counts_instead_of_the_window(build: Build, tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [row(number) for number in range(20)]
    longest = max(len(render(parse_messages(item), tokenizer).ids) for item in rows)
    path = write_rows(tmp_path / "a.jsonl", rows)
    kept = build(path, max_tokens=longest).manifest.statistics["sources"]["messages"]["kept"]
    fewer = build(path, name="fewer", max_tokens=longest - 1).manifest.statistics["sources"]["messages"]["kept"]
    assert kept == 20 > fewer


def test_a_split_is_a_function_of_seed_and_conversation(build: Build, tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [row(number) for number in range(80)]
    whole = set(texts(build(write_rows(tmp_path / "a.jsonl", rows)), "validation", tokenizer))
    # Half of them, in another order, in another file: none changes sides.
    half = build(write_rows(tmp_path / "b.jsonl", rows[::-2]), name="half")
    assert set(texts(half, "validation", tokenizer)) == whole & (
        set(texts(half, "validation", tokenizer)) | set(texts(half, "train", tokenizer))
    )
    assert set(texts(build(tmp_path / "a.jsonl", name="other", seed=2), "validation", tokenizer)) != whole


def test_a_limit_keeps_that_many_from_everywhere(build: Build, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row(number) for number in range(100)])
    artifact = build(path, limit=20)
    found = texts(artifact, "train", tokenizer) + texts(artifact, "validation", tokenizer)
    assert len(found) == 20
    numbers = [int(text.split("river ")[1].split("?")[0]) for text in found]
    assert min(numbers) < 30 and max(numbers) > 70
    assert artifact.manifest.statistics["sources"]["messages"]["dropped"] == {"over the limit": 80}


def test_nothing_about_the_place_or_the_time_is_in_the_digest(build: Build, tmp_path: Path) -> None:
    rows = [row(number) for number in range(20)]
    digests = set()
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        digests.add(build(write_rows(tmp_path / folder / "a.jsonl", rows), name=f"{folder}/out").digest)
    assert len(digests) == 1


def test_compressed_rows_and_folders_are_read(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_rows(folder / "a.jsonl", [row(number) for number in range(10)])
    data = "".join(json.dumps(row(number)) + "\n" for number in range(10, 20)).encode()
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(data))
    (folder / "notes.txt").write_text("no conversation")
    artifact = build(folder)
    assert artifact.manifest.statistics["sources"]["messages"]["kept"] == 20
    assert [file.name for file in raw_files(artifact)] == ["a.jsonl", "b.jsonl.gz"]


def test_lineage_leads_to_the_rows(build: Build, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row(number) for number in range(20)])
    artifact = build(path)
    assert [problem for step in walk(artifact.path) for problem in step.problems] == []
    path.write_text(path.read_text().replace("river 7", "river x"))
    problems = [str(problem) for step in walk(artifact.path) for problem in step.problems]
    assert problems == [f"{path} is a raw file that has changed since it was read"]


def test_samples_show_what_is_trained(build: Build, tmp_path: Path) -> None:
    artifact = build(write_rows(tmp_path / "a.jsonl", [row(number) for number in range(20)]))
    samples = json.loads(artifact.file("samples.json").read_text())
    assert len(samples) == 3
    for sample in samples:
        assert [piece["trained"] for piece in sample["pieces"]] == [False, True, False]
        assert sample["pieces"][1]["text"].endswith("<|im_end|>")


def test_several_turns_give_several_trained_pieces(build: Build, tmp_path: Path) -> None:
    turns = [{"messages": row(number)["messages"] + row(number + 100)["messages"]} for number in range(9)]
    artifact = build(write_rows(tmp_path / "a.jsonl", turns))
    samples = json.loads(artifact.file("samples.json").read_text())
    assert [piece["trained"] for piece in samples[0]["pieces"]] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"messages": []}\n', "1 no messages"),
        ("", "empty file"),
        (json.dumps(row(1, words=300)) + "\n", "longer than 96 tokens"),
    ],
)
def test_nothing_to_train_on_is_refused_with_the_reason(build: Build, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=r"no conversations to train on.*" + says):
        build(tmp_path / "a.jsonl")
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out*")) == []


def test_all_in_validation_is_refused(build: Build, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="validation_share"):
        build(write_rows(tmp_path / "a.jsonl", [row(1)]), validation_share=0.999999)


def test_no_validation_is_no_obstacle(build: Build, tmp_path: Path) -> None:
    artifact = build(write_rows(tmp_path / "a.jsonl", [row(1)]), validation_share=1e-9)
    assert len(Examples.open(artifact, "validation")) == 0


def test_a_missing_file_is_named(build: Build, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        build(tmp_path / "nowhere.jsonl")


def test_a_folder_without_rows_is_refused(build: Build, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no conversation")
    with pytest.raises(InputError, match="no file with rows"):
        build(tmp_path / "notes.txt")


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    path = str(write_rows(tmp_path / "a.jsonl", [row(1)]))
    config = ConversationsConfig(sources=[MessagesConversations(paths=[path])] * 2)
    with pytest.raises(ConfigError, match="Two sources"):
        raw_inventory(config)


def test_the_inventory_names_files_and_hashes(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row(1)])
    config = ConversationsConfig(sources=[MessagesConversations(paths=[str(path)])])
    files, roots = raw_inventory(config)
    assert [(file.name, file.size) for file in files] == [("a.jsonl", path.stat().st_size)]
    assert list(roots.values()) == [tmp_path]
    assert str(tmp_path) not in json.dumps(conversations_identity(config))


def test_a_file_that_changes_while_it_is_read_is_refused(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row(number) for number in range(20)])
    render_many = module.render_many

    def meddling(*args: Any) -> Any:
        path.write_text(path.read_text() + " \n")
        return render_many(*args)

    monkeypatch.setattr(module, "render_many", meddling)
    with pytest.raises(InputError, match="changed while"):
        build(path)


def test_a_stop_leaves_nothing_behind(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row(number) for number in range(20)])
    context, _ = quiet_context()
    context.stop.request(2)
    config = ConversationsConfig(sources=[MessagesConversations(paths=[str(path)])])
    with pytest.raises(Interrupted):
        build_conversations(config, 48, 1, tokenizer_artifact, tmp_path / "out", context)
    assert [found.name for found in tmp_path.iterdir() if "out" in found.name] == []


@pytest.mark.parametrize("name", ["ids", "trained", "ends"])
def test_damaged_arrays_are_refused(build: Build, tmp_path: Path, name: str) -> None:
    artifact = build(write_rows(tmp_path / "a.jsonl", [row(number) for number in range(20)]))
    path = artifact.path / "train" / f"{name}.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DamageError, match="shape"):
        Examples.open(artifact, "train")
