"""What identifies results: everything that decides them, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_phases import Order, mistaken, orders, phase, square

from lumilab.recipe.section import Section, runtime, setting
from lumilab.work.plans import Plans, describe

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=4,
)


class Colour(Enum):
    RED = "red"


class Shade(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Deep:
    inner: Any


class Settings(Section):
    words: int = setting(5, "decides")
    workers: int = runtime(1, "does not decide")


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, at every depth: 1, 1.0 and True are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return (one == other and str(one) == str(other)) if isinstance(one, float) else bool(one == other)


def digest(basis: Any, *values: Any) -> str:
    return Plans(basis).digest(replace(phase([]), orders=values))


@settings(max_examples=30)
@given(plain, plain)
def test_descriptions_are_equal_exactly_if_the_values_are(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == same(one, other)
    assert digest(Deep(one)) == digest(Deep(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Path("a/b"), Path("a/c")), (Path("a"), "a"), (Colour.RED, "red"), (Shade.RED, "red"), (Colour.RED, Shade.RED),
        ({1, 2}, {1, 3}), (square, mistaken), (Order, Deep), (partial(square, 1), partial(square, 2)),
        (partial(square, 1), square), (Settings(words=5), Settings(words=6)), (Deep(1), Deep(True)), (0.0, -0.0),
    ],
)  # fmt: skip
def test_different_things_have_different_descriptions(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_what_changes_no_result_is_left_out() -> None:
    assert describe(Settings(workers=1)) == describe(Settings(workers=4))
    assert describe({"a": 1, "b": 2}) == describe({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [object(), [object()], Deep(object()), "text".upper, memoryview(b"")])
def test_a_thing_of_unknown_identity_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="whose identity is unknown"):
        digest(value)


def test_every_part_of_a_plan_counts() -> None:
    base = phase(orders(3))
    changed = [
        phase(orders(4)), phase(orders(3)[::-1]), phase([*orders(2), replace(orders(3)[2], value=9)]),
        phase(orders(3), mistaken), phase(orders(3), name="other"),
    ]  # fmt: skip
    digests = [Plans().digest(plan) for plan in [base, *changed]] + [Plans("another basis").digest(base)]
    assert len(set(digests)) == len(digests)
    assert Plans().digest(replace(base, about="Other words", sizes=[7, 7, 7])) == digests[0]


def test_a_phase_follows_from_those_before_it() -> None:
    first, second = phase(orders(3), name="first"), phase(orders(3), name="second")
    plans = Plans()
    before = [plans.digest(first), plans.digest(second)]
    assert [plans.digest(first), plans.digest(second)] == before
    other = Plans()
    assert other.digest(phase(orders(4), name="first")) != before[0]
    assert other.digest(second) != before[1]
    assert Plans().digest(second) != before[1]


def test_a_phase_that_changes_changes_those_after_it() -> None:
    plans = Plans()
    second = phase(orders(3), name="second")
    plans.digest(phase(orders(3), name="first"))
    before = plans.digest(second)
    plans.digest(phase(orders(4), name="first"))
    assert plans.digest(second) != before
