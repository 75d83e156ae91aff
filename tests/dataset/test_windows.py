"""The closed forms of windows against walking through the tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lumilab.dataset.windows import RegularWindows
from lumilab.recipe.dataset import DatasetConfig


@given(tokens=st.integers(0, 300), window=st.integers(1, 50), data=st.data())
def test_counts_are_those_of_walking_through_the_tokens(tokens: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    starts = [start for start in range(0, tokens, stride) if start + window + 1 <= tokens]
    covered = {place for start in starts for place in range(start, start + window + 1)}
    windows = RegularWindows(window, stride)
    assert windows.count(tokens) == len(starts)
    assert windows.covered(tokens) == len(covered)
    assert not starts or tokens - len(covered) < stride


@pytest.mark.parametrize(
    ("settings", "stride"),
    [
        ({}, 512),
        ({"packing": "sliding"}, 256),
        ({"packing": "sliding", "overlap": 100}, 412),
        ({"packing": "sliding", "overlap": 0}, 512),
    ],
)
def test_the_overlap_is_as_asked_and_half_by_itself(settings: dict[str, object], stride: int) -> None:
    config = DatasetConfig.model_validate({"window": 512} | settings)
    assert RegularWindows.of(config) == RegularWindows(512, stride)


def test_an_overlap_that_leaves_no_step_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be less than window"):
        DatasetConfig(window=64, packing="sliding", overlap=64)
