"""Reading recipe text: YAML 1.2's plain types, exact lines, and refusals in words."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lumilab.errors import ConfigError
from lumilab.recipe.text import read_recipe_text, read_word


def value_of(word: str) -> Any:
    return read_word(("key",), word, "here").values["key"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("1_000_000", 1_000_000),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("1e-3", 0.001),
        ("5E5", 500_000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("[1, two, 3.0]", [1, "two", 3.0]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ('"12"', "12"),
        ("'no'", "no"),
    ],
)
def test_words_have_the_types_of_yaml_1_2(word: str, value: Any) -> None:
    read = value_of(word)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "word",
    ["no", "yes", "on", "off", "y", "12:30", "1:30:00", "2026-11-21", "2026-99-99", "1.2.3", "1e", "0b11", "=", "-"],
)
def test_words_that_yaml_1_1_takes_for_something_else_stay_text(word: str) -> None:
    assert value_of(word) == (word if word != "-" else [None])


@pytest.mark.parametrize("word", ["What's this: a", "@home", "[1, 2", "a: b: c", "%x", "!!set {a}", "!!timestamp x"])
def test_a_word_that_is_not_yaml_is_itself(word: str) -> None:
    assert value_of(word) in (word, yaml.safe_load('{"What\'s this": a}'))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    # PyYAML, which writes for YAML 1.1, puts no quotes around what is a number in 1.2 alone, such as 0E0.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda text: not is_number(text)),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)
keys = st.text("abcdefghijklmnop_", min_size=1, max_size=8)


@given(st.dictionaries(keys, plain | st.dictionaries(keys, plain, max_size=3), max_size=5))
def test_what_pyyaml_writes_is_read_back(values: dict[str, Any]) -> None:
    assert read_recipe_text(yaml.safe_dump(values, allow_unicode=True), "here").values == values


def test_every_value_knows_its_line() -> None:
    layer = read_recipe_text(
        "# a comment\nname: x\ncorpus:\n  sources:\n    - kind: python\n      code: false\n\n    - kind: files\n"
        "      paths:\n        - a\n        - b\n  limit: 3\nevaluation: {prompts: [a, b], windows: 4}\n",
        "r.yaml",
    )
    assert layer.origins == {
        ("name",): "r.yaml:2",
        ("corpus", "sources"): "r.yaml:4",
        ("corpus", "sources", 0, "kind"): "r.yaml:5",
        ("corpus", "sources", 0, "code"): "r.yaml:6",
        ("corpus", "sources", 1, "kind"): "r.yaml:8",
        ("corpus", "sources", 1, "paths"): "r.yaml:9",
        ("corpus", "limit"): "r.yaml:12",
        ("evaluation", "prompts"): "r.yaml:13",
        ("evaluation", "windows"): "r.yaml:13",
    }


def test_anchors_and_merge_keys_keep_their_lines() -> None:
    layer = read_recipe_text("a: &a\n  x: 1\n  y: {z: 2}\nb:\n  <<: *a\n  y: {w: 3}\n", "r")
    assert layer.values == {"a": {"x": 1, "y": {"z": 2}}, "b": {"x": 1, "y": {"w": 3}}}
    assert layer.origins[("b", "x")] == "r:2"
    assert layer.origins[("b", "y", "w")] == "r:6"
    assert ("b", "y", "z") not in layer.origins


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_recipe_has_no_values(text: str) -> None:
    assert read_recipe_text(text, "here").values == {}


@pytest.mark.parametrize(
    ("text", "says", "where"),
    [
        ("- a\n- b\n", "must be a mapping", "r"),
        ("just words\n", "must be a mapping", "r"),
        ("a: 1\nb: 2\na: 3\n", "The key a stands twice", "r:3"),
        ("a:\n  b: 1\n  b: 2\n", "The key b stands twice", "r:3"),
        ("a: b: c\n", "not valid YAML", "r:1"),
        ("a:\n\t- b\n", "not valid YAML", "r:2"),
        ("a: [1, 2\nb: 3\n", "not valid YAML", "r:2"),
        ("a: 1\n---\nb: 2\n", "not valid YAML", "r:2"),
        ("a: *missing\n", "not valid YAML", "r:1"),
        ("a: !!python/object:os.system x\n", "not valid YAML", "r:1"),
        ("a: !!timestamp 2026-99-99\n", "not valid YAML", "r:1"),
        ("x: 1\ntrue: 1\n", "A key must be a word", "r:2"),
        ("1.5: x\n", "A key must be a word", "r:1"),
        ("? [a, b]\n: 1\n", "A key must be a word", "r:1"),
        ("a\0b: 1\n", "not valid YAML", "r"),
        ("a: &a [*a]\n", "contains itself", "r"),
        ("a: " + "[" * 5_000 + "]" * 5_000, "nested too deeply", "r"),
        ("a: " + "9" * 5_000, "too long to read", "r"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, says: str, where: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read_recipe_text(text, "r")
    assert caught.value.where == where
    assert "\n" not in str(caught.value)
