"""The report: one page that tells a run from its raw text to its scores, complete in itself.

Nothing is fetched, and the page's content security policy lets nothing run but the button for light and dark, by its
hash; without scripts the page is the same. All text of users and models is escaped. Each part is made for itself: one
whose files are of another version, or damaged, says so in its place, and the rest of the page is there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lumilab.artifact import write_atomically
from lumilab.errors import LumiError
from lumilab.page.document import document
from lumilab.page.pieces import section, tiles
from lumilab.page.svg import safe
from lumilab.report.cost import cost, environment
from lumilab.report.curves import training_curves
from lumilab.report.data import data_card
from lumilab.report.evaluations import evaluations
from lumilab.report.lineage import lineage
from lumilab.report.run_view import RunView, open_run
from lumilab.report.samples import samples_over_time
from lumilab.report.style import REPORT_STYLE, SCRIPT
from lumilab.report.tokenizer import tokenizer_card
from lumilab.work.progress import format_bytes, format_seconds

FILE_NAME = "report.html"

PARTS: tuple[tuple[str, str, Callable[[RunView], str]], ...] = (
    ("pipeline", "Pipeline and lineage", lineage),
    ("training", "Training", training_curves),
    ("evaluation", "Evaluation", evaluations),
    ("samples", "Samples", samples_over_time),
    ("data", "Data", data_card),
    ("tokenizer", "Tokenizer", tokenizer_card),
    ("cost", "Cost", cost),
    ("environment", "Environment", environment),
)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Writes the page; returns where it is.

    Args:
        folder: the run's.
        out: the file; `report.html` in the run's folder if None.

    Raises:
        InputError: the folder is no run's.
    """
    path = out or folder / FILE_NAME
    write_atomically(path, render_report(open_run(folder)).encode())
    return path


def render_report(run: RunView) -> str:
    """The page as HTML."""
    name = run.folder.absolute().name
    links = "".join(f'<li><a href="#{identity}">{safe(title)}</a></li>' for identity, title, _ in PARTS)
    head = (
        f'<header><h1>{safe(name)}</h1><button id="theme" type="button" hidden>Dark</button></header>\n'
        f'<p class="note">Report of a run, made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.</p>\n{_summary(run)}\n'
        f'<nav aria-label="Parts of the report"><ul>{links}</ul></nav>\n'
    )
    parts = "".join(f'<div id="{identity}">{_shown(title, part, run)}</div>\n' for identity, title, part in PARTS)
    return document(f"{name}: report", head + parts, style=REPORT_STYLE, script=SCRIPT)


def _summary(run: RunView) -> str:
    facts = [("stages with a result", f"{sum(each.artifact is not None for each in run.results.values())}")]
    facts.append(("size of the results", format_bytes(sum(each.size for each in run.results.values()))))
    seconds = sum(training.history.seconds for training in run.trainings)
    if seconds:
        facts.append(("in training", format_seconds(seconds)))
    for training in run.trainings:
        losses = training.history.curve("validation", "loss")
        if losses:
            facts.append((f"{training.stage}: best validation loss", f"{min(loss for _, loss in losses):.3f}"))
    return tiles(facts)


def _shown(title: str, part: Callable[[RunView], str], run: RunView) -> str:
    try:
        return part(run)
    except LumiError as error:
        reason = error.what
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        # Files of another version lack what this one looks for; a report of the rest is worth more than none.
        reason = f"a file is not in the form that this version writes ({type(error).__name__}: {error})"
    return section(title, f'<p class="warning">This part cannot be shown: {safe(reason)}.</p>')
