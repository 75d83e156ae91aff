"""Docstrings of builtin and extension modules, asked of the running interpreter in a child process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lumilab.corpus.sources import describe_compiled
from lumilab.corpus.sources.python_names import CompiledModule
from lumilab.corpus.sources.python_syntax import Definition
from lumilab.errors import InputError

SECONDS = 120  # a hundred times what it takes: a module that hangs on import must not hang the build


def compiled_modules() -> dict[str, CompiledModule]:
    """Every compiled module of the running interpreter's library that can be imported here, by name.

    Raises:
        InputError: the interpreter cannot be started a second time.
    """
    command = [sys.executable, "-I", "-S", str(Path(describe_compiled.__file__))]
    try:
        # In a session of its own, so that Ctrl-C at the terminal reaches this process only, which knows what to do.
        answer = subprocess.run(
            command,
            capture_output=True,
            check=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        stderr = getattr(error, "stderr", None) or b""
        last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise InputError(
            f"The docstrings of the compiled modules could not be read: {last or error}",
            where=sys.executable,
            mend="set `docstrings: false` for this source, or use another Python installation.",
        ) from error
    return {
        name: CompiledModule(module["doc"], {key: (_definition(item), item["origin"]) for key, item in names.items()})
        for name, module in json.loads(answer.stdout).items()
        for names in (module["names"],)
    }


def _definition(item: dict[str, Any]) -> Definition:
    members = {name: _definition(member) for name, member in item["members"].items()}
    return Definition(item["kind"], item["signature"], item["doc"], members)
