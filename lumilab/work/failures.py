"""The one place where a failure becomes words and an exit code.

A mistake a person can mend is a paragraph: what, where, how. Anything else is a defect of ours and says so, with
the traceback. `--debug` (or LUMI_DEBUG=1) shows the traceback of both.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from lumilab.errors import Interrupted, LumiError, ResourceError, explain_os_error, says_disk_full

DEBUG_VARIABLE = "LUMI_DEBUG"
DEFECT_EXIT_CODE = 70


@contextmanager
def failures_explained() -> Iterator[None]:
    """Runs the block; a failure in it is explained on standard error and ends the process with its exit code."""
    try:
        yield
    except LumiError as error:
        _leave(error)
    except KeyboardInterrupt:
        _leave(Interrupted.by_keyboard())
    except BrokenPipeError:
        # The reader of our output (`| head`) has left: nobody to explain anything to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        known = _known_failure(error)
        if known is None:
            traceback.print_exc()
            _print(Text("This is a defect in lumilab, not a mistake of yours. Please report it with the lines above."))
            sys.exit(DEFECT_EXIT_CODE)
        _leave(known)


def _known_failure(error: Exception) -> LumiError | None:
    """Failures of the machine in any library's clothing: full disk, no memory, a path that cannot be used."""
    if isinstance(error, OSError):
        return explain_os_error(error)
    return next(filter(None, map(_exhausted_resource, _chain(error))), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised because of."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _exhausted_resource(error: BaseException) -> LumiError | None:
    text = str(error)
    if isinstance(error, OSError):
        # A path that could not be used may have been handled; only the machine's limits explain a later error.
        known = explain_os_error(error)
        return known if isinstance(known, ResourceError) else None
    if isinstance(error, MemoryError):
        return _out_of_memory("The machine ran out of memory")
    if says_disk_full(error):
        return explain_os_error(OSError(errno.ENOSPC, "No space left on device"))
    if "out of memory" in text.lower() or "not enough memory" in text.lower() or "can't allocate memory" in text:
        return _out_of_memory(text.splitlines()[0])
    return None


def _out_of_memory(what: str) -> ResourceError:
    return ResourceError(what, mend="lower micro_batch_size, dataset.window or the model's size, or free some memory.")


def _leave(error: LumiError) -> None:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    _print(_paragraph(error))
    sys.exit(error.exit_code)


def _paragraph(error: LumiError) -> Text:
    if isinstance(error, Interrupted):
        return Text(str(error), style="yellow")
    return Text.assemble(("error: ", "bold red"), str(error))


def _print(text: Text) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)
