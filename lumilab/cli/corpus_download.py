"""`lumi corpus download DATASET`: a dataset of the hub onto this machine; `--list` shows what there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lumilab.errors import ConfigError
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter, format_bytes
from lumilab.work.stopping import stopping_on_signals

if TYPE_CHECKING:
    from lumilab.corpus.hub.record import DatasetRecord

DOWNLOADS = Path("downloads")


def download(
    dataset: Annotated[
        str | None, typer.Argument(help="A name that --list shows, or OWNER/NAME.", metavar="[DATASET]")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="Which part; its usual one otherwise.", metavar="NAME")] = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "main",
    out: Annotated[
        Path, typer.Option(help="Folder for downloads; each goes into NAME/SUBSET below it.", metavar="DIR")
    ] = DOWNLOADS,
    workers: Annotated[int, typer.Option(help="Files at a time.", min=1, max=64)] = 8,
    test: Annotated[
        bool, typer.Option("--test", help="A trial: only two files, in a folder of their own (SUBSET-test).")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Show what can be downloaded and what is, and download nothing.")
    ] = False,
) -> None:
    """Download a dataset of the Hugging Face hub; run again after a break, it goes on where it was."""
    from lumilab.corpus.hub.download import Request
    from lumilab.corpus.hub.download import download as fetch

    report = Reporter()
    if list_:
        _list(out, report)
        return
    if dataset is None:
        raise ConfigError(
            "Which dataset?", where="command line", mend="name one that `lumi corpus download --list` shows."
        )
    request = Request(dataset, subset, revision, test, workers)
    folder = request.folder(out).absolute()
    with stopping_on_signals() as stop:
        record = fetch(request, folder, WorkContext(report, stop))
    report.say(f"{_description(record)}: {len(record.files)} files, {format_bytes(record.size)}, every hash checked.")
    report.say(f"It is in {folder}; its licence: {record.licence or 'not stated'}.")
    report.say(f"To use it, add to corpus.sources: {{kind: hub, dataset: {dataset}, folder: {folder}}}", style="dim")


def _list(out: Path, report: Reporter) -> None:
    from lumilab.corpus.hub.presets import PRESETS
    from lumilab.corpus.hub.record import datasets_below, state_of

    report.say("Datasets with a short name (any other: OWNER/NAME):", style="bold")
    for name, preset in PRESETS.items():
        others = [each for each in preset.subsets if each != preset.subset]
        more = ", ".join([*others, *([preset.examples] if preset.examples else [])])
        report.say(f"  {name:<12} {preset.about} ({preset.repository}; {preset.licence})")
        report.say(f"  {'':<12} {preset.subset}{'; also ' + more if more else ''}", style="dim")
    report.say(f"\nDownloaded to {out}:", style="bold")
    found = False
    for folder, record in datasets_below(out):
        found = True
        state = state_of(folder, record)
        whole = state.complete_files == len(record.files)
        report.say(
            f"  {_description(record)} at {record.commit[:12]}: "
            f"{state.complete_files} of {len(record.files)} files, "
            f"{format_bytes(state.complete_bytes + state.partial_bytes)} of {format_bytes(record.size)}, "
            f"{'complete' if whole else 'incomplete'}  {folder}",
            style=None if whole else "yellow",
        )
    if not found:
        report.say("  nothing")


def _description(record: DatasetRecord) -> str:
    return f"{record.repository} {record.subset}{' (trial)' if record.trial else ''}"
