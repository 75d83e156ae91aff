"""`lumi plan RECIPE`: what a recipe's pretraining will take; with `--fit`, what loss it will reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lumilab.cli.options import Depth, Out, Overrides, RecipeReference, Trial, load, run_folder
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter, format_bytes, format_count, format_seconds
from lumilab.work.stopping import stopping_on_signals

if TYPE_CHECKING:
    from lumilab.pipeline.forecast import Figure

SHOWN: dict[str, Callable[[float], str]] = {"bytes": format_bytes, "seconds": format_seconds, "money": "{:,.2f}".format}


def plan(
    recipe: RecipeReference,
    overrides: Overrides = None,
    devices: Annotated[int, typer.Option(help="How many devices train together.", min=1)] = 1,
    price: Annotated[float | None, typer.Option(help="Of one device for an hour.", metavar="PER_HOUR")] = None,
    tokens_per_second: Annotated[
        float | None, typer.Option(help="Of one device, where another machine will train.", metavar="X")
    ] = None,
    probe: Annotated[bool, typer.Option(help="Measure the speed here by a few training steps.")] = True,
    fit: Annotated[bool, typer.Option("--fit", help="Train a ladder of small models and predict the loss.")] = False,
    budget: Annotated[str, typer.Option(help="With --fit: time for the ladder.", metavar="TIME")] = "10m",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    out: Out = None,
    test: Trial = False,
    depth: Depth = None,
) -> None:
    """Tell what pretraining takes: parameters, tokens, operations, memory, time, cost, disk."""
    from lumilab.pipeline import forecast as forecasting

    loaded = load(recipe, overrides, trial=test, depth=depth)
    terms = forecasting.Terms(devices, price, tokens_per_second, probe)
    report = Reporter(Console(stderr=True, highlight=False, soft_wrap=True)) if as_json else Reporter()
    folder = run_folder(loaded, out)
    with stopping_on_signals() as stop:
        context = WorkContext(report, stop)
        figures = forecasting.forecast(loaded.recipe, folder, terms, context)
        if not as_json:
            _show(figures, report)
        ladder = None
        if fit:
            from lumilab.pipeline.ladder import climb_in_run

            ladder = climb_in_run(loaded.recipe, folder, budget, context)
    if as_json:
        print(json.dumps(forecasting.as_json(loaded.recipe, figures) | {"ladder": ladder}, indent=2))  # noqa: T201
    elif ladder:
        _show_ladder(ladder, report)


def _show(figures: list[Figure], report: Reporter) -> None:
    """A section after the other, one line a figure."""
    for section, those in groupby(figures, attrgetter("section")):
        report.say(section, style="bold")
        for figure in those:
            line = Text.assemble(f"  {figure.name:<24}", (f"{shown(figure):>14}", "bold"), ("  " + figure.how, "dim"))
            report.console.print(line)


def _show_ladder(ladder: dict[str, Any], report: Reporter) -> None:
    """The rungs, the law, and what it foretells."""
    report.say("Ladder", style="bold")
    for rung in ladder["rungs"]:
        size, tokens = format_count(rung["parameters"]), format_count(rung["tokens"])
        report.say(f"  {size:>8} parameters  {tokens:>8} tokens  {rung['compute']:.2e} FLOP  loss {rung['loss']:.4f}")
    law, found = ladder["law"], ladder["prediction"]
    found_how = "fitted" if law["fitted_exponent"] else "given: Hoffmann et al. 2022, as there are few rungs"
    report.say(f"  L = {law['irreducible']:.3f} + {law['scale']:.4g} / C^{law['exponent']:.4f} (exponent {found_how})")
    report.say(
        f"  The recipe, at {ladder['compute']:.2e} FLOP: validation loss {found['loss']:.3f} nats per token, "
        f"between {found['lowest']:.3f} and {found['highest']:.3f} by what the rungs leave open",
        style="bold",
    )


def shown(figure: Figure) -> str:
    """A figure's value as a person reads it."""
    if figure.value is None:
        return "unknown"
    if figure.unit in SHOWN:
        return SHOWN[figure.unit](figure.value)
    if figure.unit == "FLOP":
        return f"{figure.value:.3g}"
    if figure.unit in ("", "epochs"):
        return f"{figure.value:,.3g}"
    return f"{figure.value:,.0f}" if figure.value < 1e6 else format_count(figure.value)
