"""`lumi eval`: how good a model is, beside others and beside what it was before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lumilab.cli.options import Device
from lumilab.errors import ConfigError, RegressionError
from lumilab.work.progress import Reporter

if TYPE_CHECKING:
    from lumilab.evaluation.result_files import Result


def evaluate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, checkpoints, or folders of Hugging Face models.", metavar="[PATH]..."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            help="quick, standard, comprehensive, or tasks: shipped ones, any of lm-evaluation-harness, a task file; "
            "NAME:200 for the first 200 items. `perplexity` and `completion` are our own measures.",
            metavar="TASKS",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with local files of the shipped tasks, a folder for each; the hub otherwise."),
    ] = None,
    text: Annotated[Path | None, typer.Option(help="Texts for perplexity and completion (.txt, .jsonl).")] = None,
    limit: Annotated[int | None, typer.Option(help="Items of each task that says no number itself.", min=1)] = None,
    shots: Annotated[int | None, typer.Option(help="Examples before each question.", min=0)] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Tokens that a window moves on by in a long document; its length otherwise.", min=1),
    ] = None,
    bos: Annotated[bool, typer.Option("--bos", help="Put the beginning-of-text token before every text.")] = False,
    chat: Annotated[bool, typer.Option("--chat", help="Ask in the model's form of chat.")] = False,
    against: Annotated[
        Path | None, typer.Option(help="An earlier result to compare with: a file, or a folder's newest.")
    ] = None,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="With --against: exit code 6 if a score certainly fell.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of results; evaluation_results/ of the run.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Print earlier results, and measure nothing.")] = False,
    device: Device = "auto",
) -> None:
    """Measure models on tasks; several are compared. A killed evaluation goes on where it was."""
    from lumilab.evaluation.harness.run import Asked
    from lumilab.evaluation.of_models import Candidate, Policy, evaluate_model
    from lumilab.evaluation.result_files import read_result, write_result
    from lumilab.evaluation.result_page import comparison_page, summary
    from lumilab.evaluation.suites import requested
    from lumilab.work.context import WorkContext
    from lumilab.work.stopping import stopping_on_signals

    if fail_if_worse and against is None:
        raise ConfigError("Worse than what?", where="--fail-if-worse", mend="name an earlier result with --against.")
    console = Console(highlight=False)
    if history:
        _print_history(console, _folders(paths, out))
        return
    earlier = read_result(against) if against is not None else None  # before hours of work are spent
    words = suite or (["perplexity"] if text is not None else ["quick"])
    asked = Asked(requested(words, limit), data, shots, chat)
    report = Reporter()
    results = []
    with stopping_on_signals() as stop:
        context = WorkContext(report=report, stop=stop)
        for path in _models(paths):
            candidate = Candidate(path, device)
            if out is not None:
                candidate.results = out
            result = evaluate_model(candidate, asked, Policy(bos, stride, text), context)
            file = write_result(result, summary(result), candidate.results)
            report.say(f"The result is in {file}.")
            results.append(result)
    if len(results) == 1:
        _print_scores(console, results[0])
    else:
        _print_comparison(console, results)
        folder = out or Path("evaluation_results")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.md").write_text(comparison_page(results))
        report.say(f"The comparison is in {folder / 'comparison.md'}.")
    if earlier is not None:
        _print_changes(console, earlier, results, fail_if_worse)


def _models(paths: list[Path] | None) -> list[Path]:
    from lumilab.cli.picking import find_model, pick_model

    if not paths:
        return [pick_model(None)]
    return [path if (path / "config.json").is_file() else find_model(path) for path in paths]


def _folders(paths: list[Path] | None, out: Path | None) -> list[Path]:
    from lumilab.evaluation.result_files import FOLDER

    return [out] if out is not None else [path / FOLDER for path in paths or [Path()]]


def _print_scores(console: Console, result: Result) -> None:
    from lumilab.evaluation.result_page import baseline_text, score_text

    table = Table("task", "metric", "score", "beside it", box=None, pad_edge=False)
    for task in result.tasks:
        for number, (metric, value, error) in enumerate(result.metrics(task)):
            beside = baseline_text(result, task) if metric.startswith("acc,") else ""
            name = "" if number else task
            table.add_row(name, metric.removesuffix(",none"), score_text(metric, value, error), Text(beside, "dim"))
    console.print(table)
    for sentence in result.figures["lumilab"]["assessment"]:
        console.print(Text(sentence))


def _print_comparison(console: Console, results: Sequence[Result]) -> None:
    """The best of each row in green where it is told from the others."""
    from lumilab.evaluation.comparison import compare
    from lumilab.evaluation.result_page import comparison_text, score_text

    table = Table("task", "metric", box=None, pad_edge=False)
    for number, result in enumerate(results, start=1):
        table.add_column(Text(f"{number}: {result.name}"), justify="right")
    table.add_column("")
    for row in compare(results):
        cells = [
            Text("" if entry is None else score_text(row.metric, entry.value, entry.error), _style(entry))
            for entry in row.entries
        ]
        table.add_row(row.task, row.metric.removesuffix(",none"), *cells, Text(comparison_text(results, row), "dim"))
    console.print(table)


def _style(entry: object) -> str:
    return "green bold" if getattr(entry, "best", False) else ""


def _print_history(console: Console, folders: Sequence[Path]) -> None:
    from datetime import UTC, datetime

    from lumilab.evaluation.result_files import history
    from lumilab.evaluation.result_page import score_text

    table = Table("when (UTC)", "model", "task", "metric", "score", box=None, pad_edge=False)
    for folder in folders:
        for result in history(folder):
            when = datetime.fromtimestamp(float(result.figures.get("date", 0)), UTC).strftime("%Y-%m-%d %H:%M")
            for task in result.tasks:
                for metric, value, error in result.metrics(task):
                    name = metric.removesuffix(",none")
                    table.add_row(when, result.name, task, name, score_text(metric, value, error))
    console.print(table if table.row_count else "There are no results yet.")


def _print_changes(console: Console, earlier: Result, results: Sequence[Result], fail_if_worse: bool) -> None:
    from lumilab.evaluation.comparison import changes
    from lumilab.evaluation.result_page import change_text

    worse = []
    for result in results:
        found = changes(earlier, result)
        if not found:
            raise ConfigError(
                "The earlier result has no metric that this one has", where="--against", mend="measure the same tasks."
            )
        for change in found:
            style = "red" if change.worse else "green" if change.better else ""
            console.print(Text(change_text(change), style))
            worse += [f"{change.task} {change.metric.removesuffix(',none')}"] if change.worse else []
    sys.stdout.flush()
    if worse and fail_if_worse:
        raise RegressionError(f"{', '.join(worse)} fell", where="--fail-if-worse", mend="look at the changes above.")
