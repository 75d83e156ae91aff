"""Rewards: which answers are right, which have the right form, and what becomes of a user's own function."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.errors import ConfigError, InputError
from lumilab.posttraining.messages import SYSTEM, USER, Message
from lumilab.posttraining.prompts import Question
from lumilab.posttraining.rewards import final_number, open_rewards, rewards_identity, right_answer, thinks_first
from lumilab.recipe.grpo import RewardConfig

MODULE = """
def length(prompt, answer, row):
    assert prompt == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2 ="}]
    return len(answer) / row["longest"]

def nothing(prompt, answer, row):
    return None

def endless(prompt, answer, row):
    return float("nan")

def broken(prompt, answer, row):
    return row["absent"]

def yes(prompt, answer, row):
    return True

number = 3
"""


def question(answer: str) -> Question:
    return Question("q:1", (Message(SYSTEM, "Be brief."), Message(USER, "2 + 2 =")), answer, {"longest": 10})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a user's module, in which the command is started."""
    (tmp_path / "own_rewards.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("own_rewards", None)


# --- the right answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "answer", "reward"),
    [
        ("85", "85", 1.0),
        ("85", "37 + 48 = 85", 1.0),
        ("85", "It is 85.", 1.0),
        ("85", "85 or 86", 0.0),  # the last one counts
        ("85", "eighty-five", 0.0),
        ("85", "", 0.0),
        ("-3", "5 - 8 = -3", 1.0),
        ("Natalia sold 48/2 = <<48/2=24>>24 clips.\n#### 72", "Together 72 clips\n#### 72", 1.0),
        ("#### 1,234", "#### 1234.00", 1.0),
        ("#### 72", "#### 72 clips in 2 months", 1.0),  # behind the mark the first one counts
        ("#### 72", "the answer is $72", 1.0),
        ("#### 72", "72 ####", 0.0),
        ("#### 72", "<think>100</think>72", 1.0),
        ("#### 72", "<think>72", 0.0),  # never came to an answer
        ("Paris", "  paris ", 1.0),
        ("Paris", "Paris, I think", 0.0),
    ],
)
def test_right_answers(right: str, answer: str, reward: float) -> None:
    assert right_answer(question(right), answer) == reward


@given(st.integers(-(10**12), 10**12), st.text(alphabet="abc .$\n", max_size=8))
def test_a_number_is_found_however_it_is_written(number: int, around: str) -> None:
    for written in (str(number), f"{number:,}", f"{number}.0"):
        assert final_number(f"1 2 {around} {written}{around}") == Decimal(number)


def test_gsm8k_answers_are_read(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "gsm8k" / "test.jsonl").read_text().splitlines()]
    for row in rows:
        said = row["answer"].rpartition("####")[2].strip()
        assert final_number(row["answer"]) == Decimal(said.replace(",", ""))
        assert right_answer(question(row["answer"]), row["answer"]) == 1.0


# --- the right form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("<think>two and two</think>4", 1.0),
        ("\n<think>\nx\n</think>\n\n4\n", 1.0),
        ("<think>x</think>", 0.0),
        ("<think>x", 0.0),
        ("4", 0.0),
        ("4 <think>x</think> 4", 0.0),
        ("<think>x<think>y</think>4", 0.0),
        ("<think>x</think>4</think>", 0.0),
    ],
)
def test_think_blocks(answer: str, reward: float) -> None:
    assert thinks_first(question("4"), answer) == reward


def test_a_pattern_is_of_the_whole_answer() -> None:
    (reward,) = open_rewards([RewardConfig(function="format", pattern=r"\d+|no\n.*")])
    assert [reward(question("4"), text) for text in ("44", " 44 ", "44!", "no\nlong\ntext")] == [1, 1, 0, 1]


# --- a user's own ------------------------------------------------------------------------------------------------


def test_a_function_of_ones_own(here: Path) -> None:
    length, yes = open_rewards([RewardConfig(function=f"own_rewards:{name}", weight=2) for name in ("length", "yes")])
    assert (length.name, length.weight, length(question("4"), "four")) == ("length", 2.0, 0.4)
    assert yes(question("4"), "") == 1.0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "returned None, which is no finite number"),
        ("endless", "returned nan, which is no finite number"),
        ("broken", r"raised KeyError: 'absent' \(.*own_rewards.py, line 13\)"),
    ],
)
def test_what_a_function_does_wrong_is_explained(name: str, told: str, here: Path) -> None:
    (reward,) = open_rewards([RewardConfig(function=f"own_rewards:{name}")])
    with pytest.raises(InputError, match=told) as error:
        reward(question("4"), "x" * 1000)
    assert "q:1" in str(error.value) and len(str(error.value)) < 800


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("own_rewards:absent", "own_rewards has no absent"),
        ("own_rewards:number", "no function but a int"),
        ("bad_rewards:f", r"ZeroDivisionError.*bad_rewards.py, line 2"),
    ],
)
def test_what_cannot_be_imported_is_explained(function: str, told: str, here: Path) -> None:
    (here / "bad_rewards.py").write_text("\n1 / 0\n")
    with pytest.raises(ConfigError, match=told):
        open_rewards([RewardConfig(function=function)])


def test_the_identity_knows_the_source_of_a_function(here: Path) -> None:
    configs = [RewardConfig(), RewardConfig(function="own_rewards:length")]
    before = rewards_identity(configs)
    assert "source" not in before[0]
    (here / "own_rewards.py").write_text(MODULE + "# changed\n")
    after = rewards_identity(configs)
    assert before[0] == after[0] and before[1]["source"] != after[1]["source"]
    with pytest.raises(ConfigError, match="there is no module no_such_module"):
        rewards_identity([RewardConfig(function="no_such_module:f")])


def test_rewards_are_finite_numbers_by_weight() -> None:
    with pytest.raises(ValueError, match="weight"):
        RewardConfig(weight=math.inf)
    with pytest.raises(ValueError, match="no regular expression"):
        RewardConfig(function="format", pattern="(")
    with pytest.raises(ValueError, match="of the reward `format`"):
        RewardConfig(pattern="x")
    with pytest.raises(ValueError, match="function"):
        RewardConfig(function="answers")
