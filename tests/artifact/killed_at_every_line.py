"""Publishes an artifact again and again, each time killed one executed line later, and reports what was left.

Run as `python killed_at_every_line.py FOLDER new|replace`; writes one JSON line per kill with the state of the target:
"none", "old", "new" or "broken", and whether a builder that comes afterwards succeeds and clears up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder, publish
from lumilab.errors import InputError

FILES = {"a.txt": b"alpha", "deep/b.bin": b"\0" * 100}


def build(target: Path, version: str, *, replace: bool = False) -> None:
    with ArtifactBuilder(target, kind="thing", config={"version": version}) as builder:
        for name, data in FILES.items():
            builder.write_bytes(name, data)
        builder.publish(replace=replace)


def state(target: Path) -> str:
    try:
        artifact = Artifact.open(target, kind="thing")
    except InputError:
        return "none"
    if list(artifact.problems()):
        return "broken"
    return str(artifact.manifest.config["version"])


def killed_at(line: int, target: Path, *, replace: bool) -> bool:
    """Builds in a child that kills itself before the given executed line; False when it ended before that."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != publish.__file__:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        build(target, "new", replace=replace)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(folder: Path, *, replace: bool) -> None:
    target = folder / "thing"
    line, killed = 0, True
    while killed:
        line += 1
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if replace:
            build(target, "old")
        killed = killed_at(line, target, replace=replace)
        found = state(target)
        shutil.rmtree(target, ignore_errors=True)
        build(target, "after")
        clean = state(target) == "after" and [path.name for path in folder.iterdir()] == ["thing"]
        sys.stdout.write(json.dumps({"line": line, "killed": killed, "state": found, "clean": clean}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), replace=sys.argv[2] == "replace")
