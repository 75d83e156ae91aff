"""Finding the files that a recipe's `paths` speak of: files, folders at any depth, globs.

Every file is found once, in the order of the configured paths and by name within each. Hidden files are left out, and
linked folders, which may run in circles, are not followed; pipes, sockets and devices are passed over. A folder that
may not be read is an error: a corpus must not silently lack it.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lumilab.corpus.sources.source import RawPath
from lumilab.errors import InputError


def find_files(
    source: str,
    paths: Sequence[str],
    accepts: Callable[[str], bool],
    readable: str,
    in_folders: Callable[[str], bool] | None = None,
) -> list[RawPath]:
    """The files of one source.

    Args:
        source: its name, which names the first root too; further ones are `SOURCE.2` and so on.
        paths: files, folders and globs.
        accepts: whether a file of this name can be read.
        readable: what can be read, for the error messages: "readable are .txt, ...".
        in_folders: whether to take a file of this name from a folder; by default every one that is accepted.

    Raises:
        InputError: a path does not exist, matches nothing, or is of a kind that cannot be read.
    """
    roots: dict[Path, str] = {}
    found: dict[Path, RawPath] = {}
    for text in paths:
        folder, names = _match(Path(text).absolute(), accepts, in_folders or accepts, readable)
        # The place in the list names a root, because folder names may repeat and absolute paths must not be identity.
        root = roots.setdefault(folder, source if not roots else f"{source}.{len(roots) + 1}")
        for name in names:
            found.setdefault(folder / name, RawPath(root, folder, name))
    return list(found.values())


def path_names(paths: Sequence[str]) -> list[str]:
    """Configured paths without the folders above them, which say where the data lies and not what it is."""
    names = []
    for text in paths:
        path = Path(text)
        pattern = None if path.exists() else _split_glob(path)[1]
        names.append(pattern or path.absolute().name)
    return names


def _match(
    path: Path, accepts: Callable[[str], bool], in_folders: Callable[[str], bool], readable: str
) -> tuple[Path, list[str]]:
    """The folder a configured path speaks of, and the names of the readable files in it."""
    if path.is_file():
        if not accepts(path.name):
            raise InputError("This kind of file cannot be read as text", where=str(path), mend=readable)
        return path.parent, [path.name]
    if path.is_dir():
        folder, names, wanted = path, _walk(path), in_folders
    else:
        folder, pattern = _split_glob(path)
        if pattern is None:
            raise InputError(
                "There is no such file or folder", where=str(path), mend="correct `paths` of this source in the recipe."
            )
        matches = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - Path.glob takes hidden files
        names, wanted = [Path(name).as_posix() for name in matches if (folder / name).is_file()], accepts
    chosen = sorted(name for name in names if wanted(name))
    if not chosen:
        what = "matches no file" if folder != path and not names else "holds no readable file"
        raise InputError(f"The source path {what}", where=str(path), mend=readable)
    for name in chosen:
        if not _is_unicode(name):
            raise InputError(
                "A file's name is not valid Unicode", where=repr(str(folder / name)), mend="rename the file."
            )
    return folder, chosen


def _is_unicode(name: str) -> bool:
    try:
        os.fsencode(name).decode()
    except UnicodeDecodeError:
        return False
    return True


def _split_glob(path: Path) -> tuple[Path, str | None]:
    """The folder before the first part with a wildcard, and the pattern from there on (None without any)."""
    for index, part in enumerate(path.parts):
        if glob.has_magic(part):
            return Path(*path.parts[:index]), "/".join(path.parts[index:])
    return path, None


def _walk(folder: Path) -> list[str]:
    def stop_at(error: OSError) -> NoReturn:
        raise error

    names = []
    for current, folders, files in os.walk(folder, onerror=stop_at):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(current)
        found = (here / name for name in files if not name.startswith("."))
        names += [path.relative_to(folder).as_posix() for path in found if not _is_special(path)]
    return names


def _is_special(path: Path) -> bool:
    """Whether reading would wait for another program: a pipe, a socket, a device. A link to nothing is not passed
    over: opening it says what is missing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode)
