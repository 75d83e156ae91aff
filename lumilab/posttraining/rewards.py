"""What makes an answer good, as a number that can be computed: the right result, the right form, or a user's function.

A function of one's own is named in the recipe as `module:function`, is searched for as Python does (and in the folder
the command is started in), and is called with

    prompt: list[dict[str, str]]   the messages the model was given, {"role", "content"} each
    answer: str                    what it answered, with think blocks between <think> and </think>
    row: dict                      the row of the source that the question was made of

and returns a finite number; higher is better. It must give the same number for the same arguments, or a run could not
be repeated.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lumilab.errors import ConfigError, InputError
from lumilab.posttraining.messages import END_THINK, THINK
from lumilab.posttraining.prompts import Question
from lumilab.recipe.grpo import BUILT_IN_REWARDS, RewardConfig
from lumilab.recipe.section import identity

Reward = Callable[[Question, str], float]
UserFunction = Callable[[list[dict[str, str]], str, Any], float]

NUMBER = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
FINAL = "####"  # what GSM8K's answers have before the result (Cobbe et al. 2021)
SHOWN = 200  # characters of an answer in an error


@dataclass(frozen=True)
class WeightedReward:
    """A reward with its name in the log and its weight in the sum."""

    name: str
    weight: float
    reward: Reward

    def __call__(self, question: Question, answer: str) -> float:
        """The reward of an answer, without the weight."""
        return self.reward(question, answer)


def open_rewards(configs: Sequence[RewardConfig]) -> list[WeightedReward]:
    """The configured rewards.

    Raises:
        ConfigError: a function cannot be imported, or is none.
    """
    return [WeightedReward(config.name, config.weight, _open(config)) for config in configs]


def rewards_identity(configs: Sequence[RewardConfig]) -> list[dict[str, Any]]:
    """The configuration of the rewards; with the hash of the file of a user's function, so that changing it makes the
    stage stale.

    Raises:
        ConfigError: there is no such module.
    """
    return [identity(config) | _source_of(config) for config in configs]


# --- the built-in ones -----------------------------------------------------------------------------------------------


def right_answer(question: Question, answer: str) -> float:
    """1 for the right result, else 0.

    The result of a text is the number behind its last `####`, else its last number; numbers are compared by value
    (`1,234.0` is `1234`). Where the right answer has no number, the texts are compared, without regard to case and
    spaces.
    """
    wanted = final_number(question.answer)
    said = without_thoughts(answer)
    if wanted is None:
        return float(_plain(said) == _plain(question.answer))
    return float(final_number(said) == wanted)


def final_number(text: str) -> Decimal | None:
    """The number behind the last `####`; without one, the last number; None where there is none."""
    _, mark, result = text.rpartition(FINAL)
    found = NUMBER.findall(result)
    if not found:
        return None
    return Decimal((found[0] if mark else found[-1]).replace(",", ""))


def without_thoughts(answer: str) -> str:
    """What follows the last think block; nothing where one is not closed."""
    behind = answer.rpartition(END_THINK)[2]
    return "" if THINK in behind else behind.strip()


def thinks_first(question: Question, answer: str) -> float:
    """1 where the answer begins with one think block, closed, with text behind it; else 0."""
    block, end, behind = answer.strip().partition(END_THINK)
    once = block.startswith(THINK) and block.count(THINK) == 1
    return float(once and bool(end) and bool(behind.strip()) and THINK not in behind and END_THINK not in behind)


def matching(pattern: str) -> Reward:
    """A reward of 1 for answers that a regular expression matches as a whole (a dot is any character), else 0."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda question, answer: float(compiled.fullmatch(answer.strip()) is not None)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _open(config: RewardConfig) -> Reward:
    if config.function == "answer":
        return right_answer
    if config.function == "format":
        return matching(config.pattern) if config.pattern is not None else thinks_first
    return _checked(_imported(config.function), config.function)


# --- a user's own ----------------------------------------------------------------------------------------------------


def _source_of(config: RewardConfig) -> dict[str, str]:
    if config.function in BUILT_IN_REWARDS:
        return {}
    module = config.function.partition(":")[0]
    _search_here()
    try:
        spec = find_spec(module)
    except ImportError as error:
        raise _not_found(config.function, str(error)) from error
    if spec is None:
        raise _not_found(config.function, f"there is no module {module}")
    source = Path(spec.origin) if spec.origin else None
    return {"source": sha256(source.read_bytes()).hexdigest()} if source and source.is_file() else {}


def _imported(name: str) -> UserFunction:
    module, _, function = name.partition(":")
    _search_here()
    try:
        found = getattr(importlib.import_module(module), function)
    except AttributeError as error:
        raise _not_found(name, f"the module {module} has no {function}") from error
    except Exception as error:  # whatever the user's module does when it is imported
        raise _not_found(name, f"{type(error).__name__}: {error}{_line_of(error)}") from error
    if not callable(found):
        raise _not_found(name, f"{function} is no function but a {type(found).__name__}")
    made: UserFunction = found
    return made


def _search_here() -> None:
    """Lets Python look for modules in the folder the command was started in, last of all."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def _not_found(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"The reward {name} cannot be used: {why}",
        where="grpo.rewards",
        mend=f"give one of {', '.join(BUILT_IN_REWARDS)}, or module:function of a module that can be imported from the "
        "folder in which the command is started.",
    )


def _checked(function: UserFunction, name: str) -> Reward:
    """The user's function with its errors explained."""

    def reward(question: Question, answer: str) -> float:
        messages = [{"role": message.role, "content": message.content} for message in question.messages]
        try:
            given = function(messages, answer, question.row)
        except Exception as error:
            raise _failed(name, question, answer, f"raised {type(error).__name__}: {error}{_line_of(error)}") from error
        try:
            value = float(given)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise _failed(name, question, answer, f"returned {given!r}, which is no finite number")
        return value

    return reward


def _failed(name: str, question: Question, answer: str, what: str) -> InputError:
    shown = answer if len(answer) <= SHOWN else f"{answer[:SHOWN]}..."
    return InputError(
        f"The reward {name} {what}",
        where=f"question {question.id}, answer {shown!r}",
        mend="let the function return a finite number for every answer, also for an empty one.",
    )


def _line_of(error: BaseException) -> str:
    """Where in the user's own file it happened."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
