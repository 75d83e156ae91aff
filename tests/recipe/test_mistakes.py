"""What is wrong with a recipe, said so that it can be mended."""

from __future__ import annotations

import string
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from lumilab.errors import ConfigError
from lumilab.recipe import Recipe, load_recipe


def mistake(*words: str, reference: str = "quickstart") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_recipe(reference, list(words))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900
    return caught.value


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("pretrain.stps=5", "pretrain.steps"),
        ("pretain.steps=5", "pretrain"),
        ("steps=5", "pretrain.steps or sft.steps or preference.steps"),
        (
            "learning_rate=1",
            "pretrain.optimizer.learning_rate or sft.optimizer.learning_rate or preference.optimizer.learning_rate",
        ),
        ("pretrain.learning_rate=1", "pretrain.optimizer.learning_rate"),
        ("model.hidden=1", None),
        ("vocabulary_size=1000", "tokenizer.vocabulary_size"),
        ("corpus.sources.0.documentaton=true", "corpus.sources.0.documentation"),
        ("sft.optimiser.clip=1", "sft.optimizer"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(word: str, nearest: str | None) -> None:
    error = mistake(word)
    path = word.partition("=")[0]
    assert error.what.startswith("Unknown key ")
    assert path.startswith(error.what.removeprefix("Unknown key "))
    assert "(command line)" in str(error.where)
    if nearest is None:
        assert "did you mean" not in str(error.mend)
    else:
        assert f"did you mean {nearest}?" in str(error.mend)
    assert "The keys here are: " in str(error.mend)


def settings_of(section: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, (*path, name))
        else:
            yield (*path, name)


def distance(one: str, other: str) -> int:
    """Levenshtein's edit distance, by the usual table."""
    row = list(range(len(other) + 1))
    for position, letter in enumerate(one, 1):
        above, row = row, [position]
        for column, wanted in enumerate(other, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (letter != wanted)))
    return row[-1]


@given(st.sampled_from(sorted(settings_of(Recipe, ()))), st.data())
def test_a_slip_of_one_letter_finds_its_key(path: tuple[str, ...], data: st.DataObject) -> None:
    key = path[-1]
    place = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase + "_"))
    slips = {
        "left out": key[:place] + key[place + 1 :],
        "doubled": key[:place] + key[place] + key[place:],
        "added": key[:place] + letter + key[place:],
        "wrong": key[:place] + letter + key[place + 1 :],
        "swapped": key[:place] + key[place + 1 : place + 2] + key[place] + key[place + 2 :],
    }
    slip = data.draw(st.sampled_from(sorted(set(slips.values()) - {key, ""})))
    error_path = (*path[:-1], slip)
    assume(error_path not in set(settings_of(Recipe, ())) and slip not in Recipe.model_fields)
    error = mistake(f"{'.'.join(error_path)}=1")
    suggestion = str(error.mend).partition("?")[0].removeprefix("did you mean ")
    names = [name.rpartition(".")[2] for name in suggestion.split(" or ")]
    assert ".".join(path) in suggestion or min(distance(name, slip) for name in names) <= distance(key, slip)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("pretrain.steps=many", "pretrain.steps: this must be a whole number, but got 'many'"),
        ("pretrain.steps='5'", "pretrain.steps: this must be a whole number, but got '5'"),
        ("pretrain.steps=1.5", "pretrain.steps: this must be a whole number, but got 1.5"),
        ("pretrain.steps=true", "pretrain.steps: this must be a whole number, but got true"),
        ("pretrain.steps=", "pretrain.steps: this must be a whole number, but got null"),
        ("pretrain.steps=0", "greater than or equal to 1, but got 0"),
        ("pretrain.optimizer.learning_rate=fast", "this must be a number, but got 'fast'"),
        ("pretrain.optimizer.learning_rate=.inf", "finite"),
        ("pretrain.optimizer.betas=[0.9, 1]", "pretrain.optimizer.betas.1: Input should be less than 1"),
        ("pretrain.optimizer.betas=0.9", "pretrain.optimizer.betas: this must be a list"),
        ("model.qk_norm=maybe", "model.qk_norm: this must be true or false, but got 'maybe'"),
        ("model.qk_norm=1", "model.qk_norm: this must be true or false, but got 1"),
        ("name=5", "name: this must be text"),
        ("name=a/b", "name: this does not have the right form, but got 'a/b'"),
        ("pretrain.time_limit=30", "pretrain.time_limit: this does not have the right form, but got 30"),
        ("pretrain.time_limit=soon", "pretrain.time_limit: this does not have the right form"),
        ("pretrain.dtype=float8", "'auto', 'float32', 'bfloat16' or 'float16', but got 'float8'"),
        ("pretrain=5", "pretrain: this is a section with keys of its own, but got 5"),
        ("corpus.sources=[5]", "corpus.sources.0: this is a section with keys of its own, but got 5"),
        ("corpus.sources=[]", "corpus.sources: List should have at least 1 item"),
        ("corpus.sources=python", "corpus.sources: this must be a list, but got 'python'"),
        ("corpus=null", "corpus: this is a section"),
        ("evaluation.prompts=[[a]]", "evaluation.prompts.0: this must be text"),
    ],
)
def test_a_wrong_value_is_shown_with_its_key(word: str, says: str) -> None:
    error = mistake(word)
    assert says in error.what
    assert str(error.where).endswith("(command line)")
    assert error.mend


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["dataset.window=1024"], "dataset.window (1024) is longer than model.context (512)"),
        (["model.heads=3"], "heads (3) must be a multiple of kv_heads (2): change kv_heads"),
        (["model.head_dim=33"], "head_dim (33) must be even"),
        (["pretrain.micro_batch_size=3"], "batch_size (8) must be a multiple of micro_batch_size (3)"),
        (["conversations.max_tokens=513"], "conversations.max_tokens (513) is longer than dataset.window (512)"),
        (["sft.schedule={name: wsd, warmup: 0.6, decay: 0.5}"], "warmup (0.6) and decay (0.5)"),
    ],
)
def test_an_impossible_combination_names_what_to_change(words: list[str], says: str) -> None:
    assert says in mistake(*words).what


def test_a_missing_key_is_named() -> None:
    error = mistake("corpus.sources=[{kind: files}]")
    assert error.what == "The key corpus.sources.0.paths is missing"


def test_an_item_without_a_kind_is_told_the_kinds() -> None:
    error = mistake("corpus.sources=[{paths: [a]}]")
    assert error.what == "The key corpus.sources.0.kind is missing"
    assert "python, files" in str(error.mend)


def test_an_unknown_kind_is_told_the_kinds() -> None:
    error = mistake("corpus.sources=[{kind: parquet}]")
    assert error.what == "There is no kind 'parquet' for corpus.sources.0"
    assert "python, files" in str(error.mend)


def test_a_key_of_another_kind_is_not_offered() -> None:
    error = mistake("corpus.sources=[{kind: files, paths: [a], documentation: true}]")
    assert error.what == "Unknown key corpus.sources.0.documentation"
    assert error.mend == "The keys here are: kind, licence, name, paths, priority, text_field."


@pytest.mark.parametrize("word", ["corpus.files=1", "conversations.messages=1", "corpus.python=1"])
def test_a_key_named_like_a_kind_keeps_its_name(word: str) -> None:
    assert mistake(word).what == f"Unknown key {word.partition('=')[0]}"


def test_a_key_named_like_its_items_own_kind_keeps_its_name() -> None:
    error = mistake("corpus.sources=[{kind: files, paths: [a], files: [b]}]")
    assert error.what == "Unknown key corpus.sources.0.files"


def test_the_line_of_the_mistake_is_named(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    from pathlib import Path

    Path("base.yaml").write_text("name: x\ncorpus:\n  sources:\n    - kind: python\npretrain:\n\n  steps: -1\n")
    Path("top.yaml").write_text("extends: base.yaml\nname: y\n")
    error = mistake(reference="top.yaml")
    assert error.where == "pretrain.steps (base.yaml:7)"


def test_further_mistakes_are_counted() -> None:
    error = mistake("pretrain.steps=0", "sft.steps=0", "model.layers=0")
    assert "(2 more such problems follow.)" in str(error.mend)


def test_a_long_wrong_value_is_cut() -> None:
    error = mistake("pretrain.steps=" + "x" * 5_000)
    assert error.what.endswith("...")
