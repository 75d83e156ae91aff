"""What this machine trains on and in which arithmetic: "auto" resolved, said in one line, never changed silently."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lumilab.errors import ResourceError
from lumilab.recipe.training import TrainingConfig

COMPILERS = ("c++", "g++", "clang++", "cl")
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "could not create a memory object", "bad_alloc")
KEPT_ACTIVATIONS = 0.95  # share that a compiled step keeps on a CPU; the rest, cheap ones, is computed again
WORTH_COMPILING = {"cpu": 1e13, "cuda": 1e16}  # operations: about a minute's work; compiling takes half a minute
TRITON_CAPABILITY = (7, 0)  # of a GPU: what Triton makes kernels for


@dataclass(frozen=True)
class Hardware:
    """Where to train and how; `reasons` tell why, for the reader.

    Attributes:
        dtype: of activations and matrix products; weights and optimizer state are float32 always.
        compiled: whether the loss is compiled.
    """

    device: torch.device
    dtype: torch.dtype
    compiled: bool
    reasons: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for the reader."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        if self.device.type == "cpu":
            name += f" with {torch.get_num_threads()} threads"
        arithmetic = str(self.dtype).removeprefix("torch.")
        parts = [name, arithmetic, "compiled" if self.compiled else "not compiled"]
        return "Training on " + ", ".join(parts) + (f" ({'; '.join(self.reasons)})" if self.reasons else "")

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function compiled for fixed shapes where that was chosen, else the function itself."""
        if not self.compiled:
            return function
        torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())  # tells the compiler, too
        compiled = torch.compile(function, dynamic=False)
        return _keeping_less(compiled) if self.device.type == "cpu" else compiled

    def not_compiling(self) -> AbstractContextManager[object]:
        """What is compiled already runs as it is written in the block."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()


def _keeping_less(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled function whose backward pass computes again what is cheapest for its size: a tenth less memory for a
    hundredth more time on a CPU (docs/experiments.md, "Against the peers")."""
    from torch._functorch import config

    def call(*arguments: Any) -> Any:
        with config.patch(activation_memory_budget=KEPT_ACTIVATIONS):  # read when the first call compiles
            return compiled(*arguments)

    return call


def resolve(config: TrainingConfig, work: float) -> Hardware:
    """The machine's answer to a configuration's `device`, `dtype` and `compile`.

    Args:
        config: what was chosen.
        work: floating-point operations of the whole run, about.

    Raises:
        ResourceError: what was chosen by name is not there.
    """
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    reasons = []
    if dtype is torch.bfloat16 and not native_bfloat16(device):
        reasons.append("bfloat16 is emulated here, and slow")
    if dtype is torch.float16 and device.type == "cpu":
        reasons.append("float16 is slow on a CPU")
    missing = missing_for_compile(device)
    if config.compile == "yes" and missing:
        raise ResourceError(f"compile is yes, but {missing}", mend="install it, or choose compile=auto or compile=no.")
    if config.compile == "auto" and not missing:
        missing = _not_worth_compiling(device, work)
    if config.compile == "auto" and missing:
        reasons.append(missing)
    return Hardware(device, dtype, config.compile != "no" and not missing, tuple(reasons))


def resolve_device(wanted: str) -> torch.device:
    """The device for "auto" (cuda, then mps, then cpu) or a name.

    Raises:
        ResourceError: the named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, available in there.items() if available)
    if not there[wanted]:
        raise ResourceError(
            f"device is {wanted}, but PyTorch finds no such device here",
            mend="choose device=auto, or look with `lumi doctor` at what PyTorch finds.",
        )
    return torch.device(wanted)


def resolve_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The arithmetic for "auto" (bfloat16 where the device itself computes in it, else float32) or a name.

    Raises:
        ResourceError: the device does not compute in what is named.
    """
    if wanted == "auto":
        return torch.bfloat16 if native_bfloat16(device) else torch.float32
    dtype: torch.dtype = getattr(torch, wanted)
    if wanted == "bfloat16" and device.type == "cuda" and not native_bfloat16(device):
        raise ResourceError(
            "dtype is bfloat16, but this GPU has no bfloat16 arithmetic", mend="choose dtype=float32 or dtype=auto."
        )
    if device.type == "cuda":
        _let_cublas_repeat()  # this may be the first product, whoever asks for repeatable ones later
    try:
        ones = torch.ones((2, 2), dtype=dtype, device=device)
        (ones @ ones).sum().item()
    except (RuntimeError, TypeError) as error:
        raise ResourceError(
            f"dtype is {wanted}, but {device.type} cannot multiply matrices in it here: {error}",
            mend="choose dtype=float32 or dtype=auto.",
        ) from error
    return dtype


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in its own instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(cpu_bfloat16())


def cpu_bfloat16() -> str:
    """The CPU's instructions for bfloat16 products, by name; empty when it has none."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX-512 BF16" if torch.cpu._is_avx512_bf16_supported() else ""


def _not_worth_compiling(device: torch.device, work: float) -> str:
    """Why a run of so many operations is not compiled unless that is asked for; empty where it is."""
    if device.type not in WORTH_COMPILING:
        return f"torch.compile is young on {device.type}, so it is done only with compile=yes"
    return "the run is too short to earn back the time of compiling" if work < WORTH_COMPILING[device.type] else ""


def cpp_compiler() -> str:
    """The path of the C++ compiler that torch.compile would use; empty when there is none."""
    names = [os.environ.get("CXX", ""), *COMPILERS]
    return next((found for name in names if name and (found := shutil.which(name))), "")


def missing_for_compile(device: torch.device | None = None) -> str:
    """What torch.compile would lack on this machine, in words; empty when nothing.

    Args:
        device: to compile for; None for the CPU.
    """
    if not cpp_compiler():
        return "there is no C++ compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's header files are not installed"
    if device is not None and device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "Triton, which torch.compile needs for GPUs, is not installed"
        if torch.cuda.get_device_capability(device) < TRITON_CAPABILITY:
            return "this GPU is too old for Triton, which torch.compile needs"
    return ""


@contextmanager
def repeatable(device: torch.device, wanted: bool = False) -> Iterator[None]:
    """Makes every operation in the block give the same bits each time; restores the settings after it.

    Without this, a compiled embedding adds up its gradient from several threads in whatever order they come.

    Args:
        device: on a CPU it is always done.
        wanted: do it on a GPU, too. An operation that has no such form then raises a RuntimeError that names it.
    """
    settings: Any = torch.utils.deterministic
    before, fills = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    if wanted and device.type == "cuda":
        _let_cublas_repeat()
    _be_repeatable(before or wanted or device.type == "cpu")
    settings.fill_uninitialized_memory = False  # a debugging aid that costs a pass over all memory
    try:
        yield
    finally:
        _be_repeatable(before)
        settings.fill_uninitialized_memory = fills


def _let_cublas_repeat() -> None:
    """What cuBLAS needs to give the same bits each time (its manual, 2.1.4). PyTorch looks at the first product of the
    process and never again, so it comes before that."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _be_repeatable(on: bool) -> None:
    """`torch.use_deterministic_algorithms`, without the two seconds in which that loads torch's compiler to tell it:
    one that was never loaded need not know, and `Hardware.compile` tells the one that it loads."""
    if "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(on)
    else:
        torch.set_deterministic_debug_mode("error" if on else "default")


def keep_freed_memory() -> None:
    """Tells the C library (glibc; no other) to keep freed memory for the next allocation.

    It would give each large tensor's memory back to the system at once, and the page faults of fetching it anew take
    a quarter of the time of a training step on a CPU (docs/experiments.md, "A training step on a CPU").
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    most, trim, never = -4, -1, 2**31 - 1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
    mallopt(most, 0)
    mallopt(trim, never)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is no memory left, whichever part of PyTorch it comes from."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


@contextmanager
def memory_explained(config: TrainingConfig) -> Iterator[None]:
    """Turns running out of memory inside the block into a ResourceError that says what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        rows = config.micro_batch_size or config.batch_size
        rows = 1 if rows == "auto" else rows  # it begins with one
        advice = [f"set micro_batch_size to less than {rows}, or to auto"] if rows > 1 else []
        advice += [] if config.activation_checkpointing else ["set activation_checkpointing to true"]
        advice += ["train a smaller model or shorter windows"]
        raise ResourceError(
            f"Memory ran out while training on {rows} windows at once",
            mend=f"{', or '.join(advice)}. With another micro_batch_size the result of a step stays the same but for "
            "rounding.",
        ) from error
