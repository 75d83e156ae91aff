"""Errors: what, where and how to mend, in words and across processes."""

from __future__ import annotations

import pickle

import pytest

from lumilab.errors import ConfigError, Interrupted, LumiError, TimeLimitReached, explain_os_error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LumiError("It broke"), "It broke."),
        (LumiError("It broke."), "It broke."),
        (LumiError("Did it break?"), "Did it break?"),
        (LumiError("It broke", where="a.txt"), "It broke. Where: a.txt."),
        (LumiError("It broke", mend="do this."), "It broke. To mend it: do this."),
        (LumiError("It broke", where="a", mend="do this."), "It broke. Where: a. To mend it: do this."),
    ],
)
def test_the_parts_make_sentences(error: LumiError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("wrong", where="here", mend="so."),
        Interrupted(15),
        Interrupted.by_keyboard(),
        TimeLimitReached("30m"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_whole_from_another_process(error: LumiError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__
    assert again.exit_code == error.exit_code


def test_signals_and_time_limits_have_their_own_codes() -> None:
    assert Interrupted.by_keyboard().exit_code == 130
    assert Interrupted(15).exit_code == 143
    assert TimeLimitReached("30m").exit_code == 75


def test_an_os_error_without_words_or_path_is_still_explained() -> None:
    error = explain_os_error(OSError("1000 requested and 0 written"))
    assert "1000 requested" in str(error)
    assert error.where is None
