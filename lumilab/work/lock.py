"""One worker at a time per folder, also after a crash: the operating system frees the lock of a dead process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lumilab.work.context import WorkContext


@contextmanager
def exclusive(target: Path, context: WorkContext) -> Iterator[None]:
    """Holds the lock that stands for `target` (a file beside it); waits, and says so, while another has it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    waiting = False
    while True:
        context.stop.check()
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            if not waiting:
                context.report.say(f"Another process is at work on {target.name}; waiting for it to end.")
                waiting = True
    try:
        yield
    finally:
        lock.release()


def is_held(target: Path) -> bool:
    """Whether a process is at work on `target` now. False, too, where that cannot be found out.

    The lock is taken and given back at once; whoever wants it in that moment waits for it as for any other.
    """
    path = target.with_name(f".{target.name}.lock")
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False
    lock.release()
    return False
