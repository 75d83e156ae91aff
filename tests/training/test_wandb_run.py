"""Weights & Biases: a stand-in for the package sees what is logged; without the package it is said in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_corpus import quiet_context
from tiny_training import Counting, changed, fresh_model, states_in

from lumilab.errors import ResourceError
from lumilab.training.loop import train


class StandIn(SimpleNamespace):
    """The few functions of the package that are used, noting their calls."""

    def __init__(self) -> None:
        class Error(Exception):
            pass

        super().__init__(errors=SimpleNamespace(Error=Error), begun=[], logged=[], finished=[])

    def init(self, **given: Any) -> Any:
        self.begun.append(given)
        return SimpleNamespace(
            log=self.logged.append,
            define_metric=lambda name, step_metric=None: None,
            finish=self._finish,
        )

    def _finish(self, exit_code: int) -> None:
        self.finished.append(exit_code)


def run(folder: Path, **changes: Any) -> None:
    config = changed(wandb="offline", **changes)
    train(fresh_model(), Counting(), config, states_in(folder, config), quiet_context()[0], seed=5)


def test_all_events_are_logged_and_a_run_goes_on_under_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", package)
    run(tmp_path, wandb_project="mine")
    (begun,) = package.begun
    assert (begun["project"], begun["mode"], begun["dir"]) == ("mine", "offline", str(tmp_path))
    assert begun["config"]["training"]["steps"] == 12
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(package.logged) == len(lines) and package.finished == [0]
    steps = [values for values in package.logged if "step/loss" in values]
    assert [values["step/loss"] for values in steps] == [line["loss"] for line in lines if line["event"] == "step"]
    assert [values["step"] for values in steps] == list(range(1, 13)) and "step/mfu" not in steps[0]
    run(tmp_path, wandb_project="mine")
    assert package.begun[1]["id"] == begun["id"] and package.begun[1]["resume"] == "allow"


def test_an_error_of_the_training_ends_the_run_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", package)

    class Broken(Counting):
        def loss(self, model: Any, batch: Any) -> Any:
            raise RuntimeError("something else")

    config = changed(wandb="online")
    with pytest.raises(RuntimeError, match="something else"):
        train(fresh_model(), Broken(), config, states_in(tmp_path, config), quiet_context()[0], seed=5)
    assert package.finished == [1]


def test_without_the_package_it_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ResourceError, match="the package wandb is not installed") as error:
        run(tmp_path)
    assert error.value.exit_code == 5 and "lumilab[wandb]" in str(error.value)


def test_a_service_that_refuses_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = StandIn()
    monkeypatch.setattr(package, "init", lambda **given: (_ for _ in ()).throw(package.errors.Error("no key")))
    monkeypatch.setitem(sys.modules, "wandb", package)
    with pytest.raises(ResourceError, match=r"cannot be used: no key.*wandb=offline"):
        run(tmp_path)
