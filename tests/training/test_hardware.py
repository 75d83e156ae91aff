"""What "auto" becomes, and what is refused in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lumilab.errors import ResourceError
from lumilab.recipe.training import TrainingConfig
from lumilab.training import hardware
from lumilab.training.hardware import (
    Hardware,
    cpp_compiler,
    missing_for_compile,
    repeatable,
    resolve,
    resolve_device,
    resolve_dtype,
)

MUCH, LITTLE = 1e18, 1e9
CPU = torch.device("cpu")


def settings(**values: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"device": "cpu", **values})


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


def test_auto_takes_cuda_then_mps_then_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_named_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourceError, match=f"device is {name}") as error:
        resolve(TrainingConfig(device=name), MUCH)
    assert error.value.exit_code == 5 and "device=auto" in str(error.value)


def test_auto_arithmetic_is_bfloat16_only_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_bfloat16", lambda: "AMX")
    assert resolve_dtype("auto", CPU) is torch.bfloat16
    monkeypatch.setattr(hardware, "cpu_bfloat16", lambda: "")
    assert resolve_dtype("auto", CPU) is torch.float32
    assert resolve_dtype("bfloat16", CPU) is torch.bfloat16
    assert resolve_dtype("float32", CPU) is torch.float32
    assert "bfloat16 is emulated" in resolve(settings(dtype="bfloat16"), MUCH).describe()


def test_a_gpu_without_bfloat16_refuses_it_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert resolve_dtype("auto", torch.device("cuda")) is torch.float32
    with pytest.raises(ResourceError, match="no bfloat16") as error:
        resolve_dtype("bfloat16", torch.device("cuda"))
    assert "dtype=auto" in str(error.value)


def test_without_a_compiler_auto_says_so_and_yes_is_refused(no_compiler: None) -> None:
    assert cpp_compiler() == ""
    chosen = resolve(settings(), MUCH)
    assert not chosen.compiled and "there is no C++ compiler" in chosen.describe()
    with pytest.raises(ResourceError, match="compile is yes, but there is no C") as error:
        resolve(settings(compile="yes"), MUCH)
    assert error.value.exit_code == 5
    assert "C++" not in resolve(settings(compile="no"), MUCH).describe()


def test_pythons_headers_are_needed_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "cpp_compiler", lambda: "/usr/bin/c++")
    monkeypatch.setattr(hardware.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "header" in resolve(settings(), MUCH).describe()
    (tmp_path / "Python.h").touch()
    assert resolve(settings(), MUCH).compiled


def test_auto_compiles_only_what_earns_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "missing_for_compile", lambda device: "")
    assert resolve(settings(), MUCH).compiled
    short = resolve(settings(), LITTLE)
    assert not short.compiled and "too short" in short.describe()
    assert resolve(settings(compile="yes"), LITTLE).compiled


def test_where_compiling_is_young_it_is_done_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "missing_for_compile", lambda device: "")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    left = resolve(settings(device="mps"), MUCH)
    assert not left.compiled and "young on mps" in left.describe()
    assert resolve(settings(device="mps", compile="yes"), MUCH).compiled


def test_a_gpu_is_compiled_for_where_triton_is(monkeypatch: pytest.MonkeyPatch) -> None:
    if missing_for_compile():
        pytest.skip(missing_for_compile())
    monkeypatch.setattr(hardware.importlib.util, "find_spec", lambda name: None)
    assert "Triton" in missing_for_compile(torch.device("cuda"))
    monkeypatch.setattr(hardware.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert "too old for Triton" in missing_for_compile(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert not missing_for_compile(torch.device("cuda"))


def test_cublas_is_told_before_the_first_product(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, "")  # so that what the test leaves is taken away
    monkeypatch.delenv(name)

    ones = torch.ones

    def first_product(*sizes: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        assert device.type == "cuda" and os.environ[name] == ":4096:8"
        return ones(*sizes, dtype=dtype)

    monkeypatch.setattr(torch, "ones", first_product)
    assert resolve_dtype("float32", torch.device("cuda")) is torch.float32
    assert name in os.environ


def test_one_line_says_all() -> None:
    told = Hardware(CPU, torch.bfloat16, True, ("because",)).describe()
    assert told == f"Training on cpu with {torch.get_num_threads()} threads, bfloat16, compiled (because)"


def test_what_is_not_compiled_is_the_function_itself() -> None:
    assert Hardware(CPU, torch.float32, False).compile(max) is max


def test_repeatable_restores_what_it_found() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with repeatable(CPU):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.empty(3).shape == (3,)
    assert torch.are_deterministic_algorithms_enabled() == before
    with repeatable(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled() == before
