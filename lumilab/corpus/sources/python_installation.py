"""Where the running interpreter keeps its library's source files, and which of them are the library.

The folder is the base installation's also inside a virtual environment. Left out are packages that somebody installed
(`site-packages`), the library's own tests, and files that describe this machine rather than Python (build settings
with the paths of whoever compiled it, `sitecustomize`).
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from pathlib import Path

from lumilab.errors import InputError

TOPICS = "pydoc_data/topics.py"
_LEFT_OUT_FOLDERS = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}
_LEFT_OUT_FILES = {"sitecustomize.py", "usercustomize.py"}
_MACHINE_PREFIXES = ("_sysconfigdata", "config-")


def library_folder() -> Path:
    """The folder of the standard library.

    Raises:
        InputError: this interpreter came without its library's source files (for example in one zip file).
    """
    folder = Path(sysconfig.get_path("stdlib"))
    if not (folder / "os.py").is_file():
        raise InputError(
            "This Python has no source files of its standard library",
            where=str(folder),
            mend="use a Python from python.org, your system's packages, pyenv or uv, or another corpus source.",
        )
    return folder


def library_files(folder: Path) -> list[str]:
    """The library's `.py` files as sorted names relative to `folder`, with forward slashes."""
    names = []
    for current, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in _LEFT_OUT_FOLDERS and not name.startswith(_MACHINE_PREFIXES)
        ]
        here = Path(current).relative_to(folder)
        names += [
            (here / name).as_posix()
            for name in files
            if name.endswith(".py") and name not in _LEFT_OUT_FILES and not name.startswith(_MACHINE_PREFIXES)
        ]
    return sorted(names)


def interpreter() -> str:
    """Implementation and version, for example `cpython 3.11.7`: what stands for the text of compiled modules, which
    lies in no source file."""
    return f"{sys.implementation.name} {platform.python_version()}"
