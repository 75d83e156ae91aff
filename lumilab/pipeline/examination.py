"""What a machine has for training and running models, each finding with what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil
import torch

from lumilab.work.progress import format_bytes

NEEDED_DISK = 2e9  # bytes: the quickstart's corpus, checkpoints and logs, with room to spare
NEEDED_MEMORY = 3e9  # bytes: the quickstart's training peak, with room to spare
DEFAULT_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Literal["good", "note", "bad"]
    fact: str
    advice: str = ""


def examine(folder: Path) -> Iterator[Finding]:
    """All findings, for a run that would be written to `folder`."""
    yield _python()
    yield _torch()
    yield from _devices()
    yield _number_format()
    yield _compiler()
    yield _memory()
    yield _disk(folder)
    yield _hub()
    yield _versions()


def _python() -> Finding:
    version = platform.python_version()
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "bad", version, "use Python 3.11, 3.12 or 3.13.")
    return Finding("python", "good", f"{version} ({sys.executable})")


def _torch() -> Finding:
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    if (major, minor) < (2, 11):
        return Finding("torch", "bad", torch.__version__, "install torch 2.11 or newer.")
    return Finding("torch", "good", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _devices() -> Iterator[Finding]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            fused = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]
            attention = "fused attention" if fused else "no fused attention"
            memory = format_bytes(properties.total_memory)
            yield Finding("gpu", "good", f"{properties.name}, {memory}, {attention}")
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "good", "Apple GPU (mps)")
    else:
        advice = "a CPU trains models of a few million parameters in minutes; larger ones want a GPU."
        yield Finding("gpu", "note", "none that torch can use", advice)


def _number_format() -> Finding:
    from lumilab.training.hardware import cpu_bfloat16

    if torch.cuda.is_available():
        good = torch.cuda.is_bf16_supported()
        return Finding("bfloat16", "good" if good else "note", "on the GPU" if good else "not on this GPU")
    support = cpu_bfloat16()
    if support:
        return Finding("bfloat16", "good", f"in the CPU's instructions ({support})")
    return Finding("bfloat16", "note", "not in the CPU's instructions", "training uses float32, about half as fast.")


def _compiler() -> Finding:
    from lumilab.training.hardware import cpp_compiler

    found = cpp_compiler()
    if found:
        return Finding("c++ compiler", "good", f"{found} (torch.compile can be used)")
    advice = "install g++ or clang for faster training on a CPU (Debian: apt-get install g++); it works without."
    return Finding("c++ compiler", "note", "none found, so torch.compile is off", advice)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    fact = f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}"
    if memory.available < NEEDED_MEMORY:
        return Finding("memory", "note", fact, f"the quickstart wants {format_bytes(NEEDED_MEMORY)}: close something.")
    return Finding("memory", "good", fact)


def _disk(folder: Path) -> Finding:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    fact = f"{format_bytes(free)} free at {place}"
    if not os.access(place, os.W_OK):
        return Finding("disk", "bad", f"no right to write at {place}", "choose another folder with --out.")
    if free < NEEDED_DISK:
        return Finding("disk", "bad", fact, f"the quickstart wants {format_bytes(NEEDED_DISK)}: free some space.")
    return Finding("disk", "good", fact)


def _hub() -> Finding:
    address = os.environ.get("HF_ENDPOINT", DEFAULT_HUB)
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=3).close()
    except OSError as error:
        advice = "only needed to download datasets and models; set HF_ENDPOINT to use a mirror."
        return Finding("hub", "note", f"{address} cannot be reached ({error})", advice)
    return Finding("hub", "good", f"{address} answers")


def _versions() -> Finding:
    names = ("lumilab", "numpy", "tokenizers", "safetensors", "pydantic")
    return Finding("versions", "good", ", ".join(f"{name} {metadata.version(name)}" for name in names))
