"""Raw preferences to pairs: what is kept, where it goes, what is refused and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_corpus import quiet_context
from tiny_pairs import SEED, changed, judged, pair, publish_pairs

from lumilab.artifact import Artifact, raw_files, walk
from lumilab.errors import ConfigError, InputError
from lumilab.posttraining.comparisons import Answers
from lumilab.posttraining.messages import Message
from lumilab.posttraining.pairs import Comparison, Pair
from lumilab.posttraining.preference_data import build_pairs, pairs_identity, pairs_inventory
from lumilab.posttraining.template import render
from lumilab.posttraining.templates import DEFAULT, ChatForm
from lumilab.recipe.conversations import HHPairs, PromptPairs
from lumilab.recipe.preference import PairsConfig
from lumilab.tokenizer.load import Tokenizer

Build = Callable[..., Artifact]


@pytest.fixture
def build(tokenizer_artifact: Artifact, tmp_path: Path) -> Build:
    def run(rows: list[Any], name: str = "a", **values: Any) -> Artifact:
        return publish_pairs(tmp_path / name, tokenizer_artifact, rows, **values)

    return run


def texts(artifact: Artifact, tokenizer: Tokenizer, split: str) -> list[tuple[str, int]]:
    """Each sequence with its verdict."""
    answers = Answers.open(artifact, split)
    return [
        (tokenizer.decode(answers.examples.rendered(number).ids, keep_special=True), int(answers.verdicts[number]))
        for number in range(len(answers.verdicts))
    ]


def counts(artifact: Artifact, source: str = "pairs") -> dict[str, Any]:
    found: dict[str, Any] = artifact.manifest.statistics["sources"][source]
    return found


def test_both_sides_are_as_the_renderer_makes_them(build: Build, tokenizer: Tokenizer) -> None:
    artifact = build([pair(number) for number in range(30)])
    answers = Answers.open(artifact, "train")
    assert answers.verdicts.tolist() == [1, 0] * (len(answers.verdicts) // 2)
    wanted = set()
    for row in map(pair, range(30)):
        for side in ("chosen", "rejected"):
            rendered = render([Message("user", row["prompt"]), Message("assistant", row[side])], tokenizer)
            wanted.add((tuple(rendered.ids), tuple(rendered.trained)))
    found = [answers.examples.rendered(number) for number in range(len(answers.verdicts))]
    assert {(tuple(each.ids), tuple(each.trained)) for each in found} <= wanted
    assert artifact.manifest.statistics["train"]["comparisons"] == len(found) // 2
    assert [problem for step in walk(artifact.path) for problem in step.problems] == []
    assert [file.name for file in raw_files(artifact)] == ["rows.jsonl"]


def test_only_the_last_answer_is_trained(build: Build, tokenizer: Tokenizer) -> None:
    turns = [{"role": "user", "content": "river"}, {"role": "assistant", "content": "seven letters"}]
    rows = [pair(number) | {"prompt": [*turns, {"role": "user", "content": f"moon {number}"}]} for number in range(9)]
    answers = Answers.open(build(rows, validation_share=1e-9), "train")
    for number in range(len(answers.verdicts)):
        example = answers.examples.rendered(number)
        trained = [token for token, flag in zip(example.ids, example.trained, strict=True) if flag]
        text = tokenizer.decode(trained, keep_special=True)
        assert "seven" not in text and text.endswith("<|im_end|>")


def test_no_prompt_is_in_both_splits(build: Build, tokenizer: Tokenizer) -> None:
    rows = []
    for number in range(60):
        first = {"role": "user", "content": f"river {number // 3}?"}
        later = [{"role": "assistant", "content": "letters"}, {"role": "user", "content": f"door {number}"}]
        rows.append(pair(number) | {"prompt": [first, *(later if number % 3 == 2 else [])]})
    artifact = build(rows, validation_share=0.4)
    questions = {
        split: {text.split("river ")[1].split("?")[0] for text, _ in texts(artifact, tokenizer, split)}
        for split in ("train", "validation")
    }
    assert questions["train"] and questions["validation"]
    assert questions["train"].isdisjoint(questions["validation"])


def test_a_prompts_split_depends_on_the_seed_and_the_prompt_alone() -> None:
    question = (Message("user", "Q"),)
    answers = [Message("assistant", text) for text in "abc"]
    keys = {
        Comparison.of_pair(Pair(question, answers[0], answers[1]), "one").split_key,
        Comparison.of_pair(Pair(question, answers[2], answers[1]), "two").split_key,
        Comparison.of_judged((*question, answers[0]), False, "three").split_key,
    }
    assert len(keys) == 1
    with_system = (Message("system", "S"), *question)
    assert Comparison.of_judged((*with_system, answers[0]), True, "one").split_key not in keys


MALFORMED: dict[str, tuple[Any, str]] = {
    # what: (the row, its reason)
    "no rejected answer": ({"prompt": "Q", "chosen": "A"}, "content is not text"),
    "null answer": ({"prompt": "Q", "chosen": None, "rejected": "B"}, "content is not text"),
    "empty answer": ({"prompt": "Q", "chosen": " ", "rejected": "B"}, "empty content"),
    "null prompt": ({"prompt": None, "chosen": "A", "rejected": "B"}, "content is not text"),
    "equal answers": ({"prompt": "Q", "chosen": "A", "rejected": "A"}, "no preference"),
    "no object": (["Q", "A", "B"], "not an object"),
    "a user's answer": (
        {"prompt": "Q", "chosen": [{"from": "human", "value": "A"}], "rejected": [{"from": "gpt", "value": "B"}]},
        "no answer",
    ),
    "too long": ({"prompt": "Q", "chosen": "A" * 300, "rejected": "B"}, "a message of more than 200 characters"),
}


def test_malformed_pairs_are_counted_quarantined_and_explained(build: Build) -> None:
    rows = [pair(number) for number in range(40)] + [row for row, _ in MALFORMED.values()]
    artifact = build(rows, max_bad_share=0.5, max_message=200)
    quarantined = [json.loads(line) for line in artifact.file("quarantine.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in quarantined] == [
        (41 + number, reason) for number, (_, reason) in enumerate(MALFORMED.values())
    ]
    assert all(entry["detail"] for entry in quarantined)
    assert counts(artifact)["read"] == len(rows)
    assert counts(artifact)["kept"] == 40


def test_dialogues_that_differ_before_the_last_answer_are_refused(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    good = [
        {"chosen": f"\n\nHuman: river {n}\n\nAssistant: the moon", "rejected": f"\n\nHuman: river {n}\n\nAssistant: no"}
        for n in range(20)
    ]
    bad = [
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
        {"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: a\n\nAssistant: d"},
        {"chosen": "hello", "rejected": "\n\nHuman: a\n\nAssistant: d"},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in good + bad))
    config = PairsConfig(sources=[HHPairs(paths=[str(path)])], max_bad_share=0.2)
    artifact = build_pairs(config, DEFAULT, 96, SEED, tokenizer_artifact, tmp_path / "out", quiet_context()[0])
    dropped = counts(artifact, "hh-rlhf")["dropped"]
    assert dropped == {"different prompts": 1, "no answer": 1, "no messages": 1}


def test_too_many_malformed_pairs_end_the_build(build: Build) -> None:
    with pytest.raises(InputError, match=r"are no pairs.*preference\.max_bad_share") as found:
        build([pair(1), {"prompt": "Q"}])
    assert "row 2" in str(found.value)


def test_repeated_long_and_short_ones_are_dropped_and_counted(build: Build, tokenizer: Tokenizer) -> None:
    rows = [pair(number) for number in range(20)]
    rows += [pair(3), pair(77) | {"rejected": "moon " * 200}, pair(78) | {"prompt": "Q", "chosen": "a"}]
    short = len(render([Message("user", "Q"), Message("assistant", "a")], tokenizer).ids)
    dropped = counts(build(rows, min_tokens=short + 1))["dropped"]
    assert dropped["duplicate"] == 1
    assert dropped["longer than 96 tokens"] == 1
    assert dropped[f"shorter than {short + 1} tokens"] == 1


def test_what_is_alike_once_rendered_is_dropped(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    rows = [pair(number) for number in range(20)]
    rows.append({"prompt": "Q", "chosen": "<think>the moon</think>bridge", "rejected": "<think>a door</think>bridge"})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = PairsConfig(sources=[PromptPairs(paths=[str(tmp_path / "a.jsonl")])])
    form = ChatForm.named("chatml", "drop")
    artifact = build_pairs(config, form, 96, SEED, tokenizer_artifact, tmp_path / "out", quiet_context()[0])
    assert counts(artifact)["dropped"] == {"alike once rendered": 1}


def test_single_answers_keep_their_verdicts(build: Build, tokenizer: Tokenizer) -> None:
    artifact = build([judged(number) for number in range(30)], verdicts=True)
    assert not artifact.manifest.config["paired"]
    for split in ("train", "validation"):
        for text, verdict in texts(artifact, tokenizer, split):
            assert ("the morning" in text) == bool(verdict)


def test_samples_show_both_sides(build: Build) -> None:
    samples = json.loads(build([pair(number) for number in range(20)]).file("samples.json").read_text())
    assert len(samples) == 3
    for sample in samples:
        good, bad = ("".join(piece["text"] for piece in side["pieces"]) for side in sample["sides"])
        assert "the morning" in good and "paints" in bad


@pytest.mark.parametrize(
    ("rows", "values", "says"),
    [
        ([], {}, "empty file"),
        ([pair(1)], {"validation_share": 0.999999}, "validation_share"),
        ([pair(1) | {"chosen": "moon " * 200}], {}, "longer than 96 tokens"),
    ],
)
def test_nothing_to_train_on_is_refused_with_the_reason(
    build: Build, tmp_path: Path, rows: list[Any], values: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        build(rows, **values)
    assert not (tmp_path / "a" / "out").exists()


def test_a_limit_keeps_that_many(build: Build) -> None:
    artifact = build([pair(number) for number in range(60)], limit=12)
    assert counts(artifact)["kept"] == 12
    assert counts(artifact)["dropped"] == {"over the limit": 48}


def test_the_recipe_part_of_the_digest_has_no_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(pair(1)) + "\n")
    config = changed(sources=[{"kind": "pairs", "paths": [str(path)]}]).pairs()
    assert str(tmp_path) not in json.dumps(pairs_identity(config))
    files, roots = pairs_inventory(config)
    assert [file.name for file in files] == ["rows.jsonl"] and list(roots.values()) == [tmp_path]
    with pytest.raises(ConfigError, match="Two sources of preference"):
        pairs_inventory(PairsConfig(sources=[*config.sources, *config.sources]))


def test_real_preferences_are_read(shared_data: Path, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    source = HHPairs(paths=[str(shared_data / "hh-rlhf")])
    config = PairsConfig(sources=[source], limit=200)
    artifact = build_pairs(config, DEFAULT, 512, SEED, tokenizer_artifact, tmp_path / "out", quiet_context()[0])
    found = counts(artifact, "hh-rlhf")
    assert found["read"] == 2000
    assert found["kept"] + sum(found["dropped"].values()) == 2000
    trained = np.load(artifact.file("train/trained.npy"))
    assert 0.05 < trained.mean() < 0.95
