"""`lumi corpus stats`, `sample` and `diff`: what corpora hold, documents out of them, what differs between two."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lumilab.errors import ConfigError, InputError
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter, format_bytes
from lumilab.work.stopping import stopping_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lumilab.corpus.collection import Collection
    from lumilab.corpus.document import BadRecord, Document

TRIAL_DOCUMENTS = 1000
SHOWN_CHARACTERS = 1000  # of a drawn document, unless all of it is asked for
SHOWN_SETTINGS = 40
SETTING_CHARACTERS = 60
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

app = typer.Typer(
    help="Build corpora and look at them: count, draw, compare.", no_args_is_help=False, rich_markup_mode=None
)

Place = Annotated[
    Path, typer.Argument(help="A corpus, a run, or a file or folder of texts (.jsonl, .jsonl.zst, .txt ...).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Trial = Annotated[bool, typer.Option("--test", help=f"A trial: look at the first {TRIAL_DOCUMENTS:,} documents only.")]


@app.command("stats")
def stats(path: Place, as_json: AsJson = False, test: Trial = False) -> None:
    """Count documents, characters, bytes and words, by source and by language."""
    from lumilab.corpus.stats import count_documents

    collection = _open(path)
    statistics = count_documents(_records(collection, test))
    values = statistics.to_json(None if test else collection.stored)
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False, indent=2))
        return
    _show_stats(values, Console(highlight=False, soft_wrap=True), test)


@app.command("sample")
def sample(
    path: Place,
    count: Annotated[int, typer.Option("-n", "--count", help="How many documents.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Same seed, same documents.")] = 0,
    source: Annotated[str | None, typer.Option(help="Only of this source.", metavar="NAME")] = None,
    contains: Annotated[str | None, typer.Option(help="Only with this text in it.", metavar="TEXT")] = None,
    dropped: Annotated[
        str | None, typer.Option(help="Of those dropped for this reason; the card keeps ten.", metavar="REASON")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Show whole documents, however long.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole documents as JSON lines.")] = False,
    test: Trial = False,
) -> None:
    """Draw documents at random to look at, the same ones for the same seed."""
    from lumilab.corpus.drawing import Wanted, draw, dropped_documents
    from lumilab.corpus.shards import to_line

    collection = _open(path)
    records: Iterator[Document | BadRecord]
    if dropped is None:
        records = _records(collection, test)
    elif collection.artifact is None:
        raise ConfigError(
            "Only a corpus knows what was dropped, and these are files",
            where="--dropped",
            mend="give the folder of a corpus or of a run.",
        )
    else:
        records = iter(dropped_documents(collection.artifact, dropped))
    documents = draw(records, count, seed, Wanted(source, contains))
    if not documents:
        raise InputError(
            "No document is like that" if source or contains else "There are no documents here",
            where=str(collection.path),
            mend="`lumi corpus stats` shows the sources there are; --contains heeds capital letters.",
        )
    console = Console(highlight=False, soft_wrap=True)
    for document in documents:
        if as_json:
            typer.echo(to_line(document).decode(), nl=False)
        else:
            _show_document(document, contains, whole, console)


@app.command("diff")
def diff(
    a: Annotated[Path, typer.Argument(help="A corpus, or a run.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Another.", metavar="B")],
    as_json: AsJson = False,
    test: Trial = False,
) -> None:
    """Tell what differs between two corpora: documents, sources, settings, raw files."""
    from lumilab.artifact import Artifact
    from lumilab.corpus.comparison import compare

    corpora = [Artifact.open(_corpus_folder(path), kind="corpus") for path in (a, b)]
    with stopping_on_signals() as stop:
        context = WorkContext(Reporter(Console(stderr=True, highlight=False, soft_wrap=True)), stop)
        difference = compare(corpora[0], corpora[1], context, TRIAL_DOCUMENTS if test else None)
    if as_json:
        typer.echo(json.dumps(difference, ensure_ascii=False, indent=2))
        return
    _show_difference(difference, Console(highlight=False, soft_wrap=True), test)


# --- finding and reading -------------------------------------------------------------------------------------------


def _open(path: Path) -> Collection:
    from lumilab.corpus.collection import open_collection

    return open_collection(_corpus_folder(path))


def _corpus_folder(path: Path) -> Path:
    """The corpus that a run's folder points at; any other path as it is."""
    from lumilab.pipeline.records import FILE_NAME, current_artifact

    if not (path / FILE_NAME).is_file():
        return path
    found = current_artifact(path, "corpus")
    if found is None:
        raise InputError(
            "This run has no corpus yet", where=str(path), mend="build it with `lumi run RECIPE --until corpus`."
        )
    return found.path


def _records(collection: Collection, trial: bool) -> Iterator[Document | BadRecord]:
    """The collection's records with progress shown on standard error; a request to stop is heeded."""
    manifest = collection.artifact.manifest if collection.artifact else None
    total = TRIAL_DOCUMENTS if trial else manifest.statistics.get("documents") if manifest else None
    report = Reporter(Console(stderr=True, highlight=False, soft_wrap=True))
    with stopping_on_signals() as stop, report.task("Reading", total, "records", 2.0) as task:
        for record in islice(collection.documents(), TRIAL_DOCUMENTS if trial else None):
            stop.check()
            task.advance()
            yield record


# --- showing -------------------------------------------------------------------------------------------------------


def _table(console: Console, header: list[str], rows: list[list[str]]) -> None:
    """A plain table: the first column to the left, the others, which are numbers, to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_printable(cell)) for cell in row))
    console.print(table, soft_wrap=True)


def _heading(console: Console, words: str) -> None:
    console.print(Text(f"\n{words}", style="bold"))


def _show_stats(values: dict[str, Any], console: Console, trial: bool) -> None:
    if trial:
        console.print(Text(f"The first {TRIAL_DOCUMENTS:,} documents only.", style="yellow"))
    facts = [
        ("documents", f"{values['documents']:,}"),
        ("characters", f"{values['characters']:,}"),
        ("UTF-8 text", format_bytes(values["bytes"])),
        ("words", f"{values['words']:,} (parted by white space)"),
    ]
    if values["stored_bytes"]:
        facts.append(
            ("on disk", f"{format_bytes(values['stored_bytes'])} (text is {values['compression']:.2f} times that)")
        )
    for name, value in facts:
        console.print(Text.assemble((f"{name:<12}", "cyan"), value))
    for name, count in values["unreadable"].items():
        console.print(Text(f"unreadable  {count:,} {name}", style="yellow"))
    if not values["documents"]:
        return
    _heading(console, "By source")
    total = values["characters"] or 1
    rows = [
        [name, *(f"{own[key]:,}" for key in ("documents", "characters", "words")), f"{own['characters'] / total:.1%}"]
        for name, own in values["sources"].items()
    ]
    _table(console, ["source", "documents", "characters", "words", "share of text"], rows)
    _heading(console, "Length in characters (quantiles above 128 are rounded down by less than 1/64)")
    groups = {name: own["lengths"] for name, own in values["sources"].items()}
    if len(groups) > 1:
        groups["all"] = values["lengths"]
    rows = [[name, *(f"{length:,}" for length in lengths.values())] for name, lengths in groups.items()]
    _table(console, ["source", *values["lengths"]], rows)
    if values["languages"]:
        _heading(console, "Languages")
        shown = list(values["languages"].items())[:12]
        _table(console, ["language", "documents"], [[name, f"{count:,}"] for name, count in shown])
        if len(values["languages"]) > len(shown):
            console.print(Text(f"and {len(values['languages']) - len(shown)} more", style="dim"))


def _show_document(document: Document, contains: str | None, whole: bool, console: Console) -> None:
    """A heading, and the document's beginning, or the place where the wanted text is."""
    text = document.text
    start = 0
    if contains is not None and not whole:
        start = max(text.find(contains) - SHOWN_CHARACTERS // 2, 0)
    end = len(text) if whole else start + SHOWN_CHARACTERS
    facts = [document.source, f"{len(text):,} characters", *([document.url] if document.url else [])]
    console.print(Text.assemble((_printable(document.id), "bold cyan"), (_printable("  " + " · ".join(facts)), "dim")))
    shown = Text(_printable(text[start:end]))
    if contains:
        shown.highlight_words([contains], "black on yellow")
    console.print(Text.assemble("… " if start else "", shown, " …" if end < len(text) else ""))
    console.print()


def _printable(text: str) -> str:
    """The text without what would drive the terminal instead of being shown."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\t", "    "))


def _show_difference(difference: dict[str, Any], console: Console, trial: bool) -> None:
    if trial:
        console.print(Text(f"The first {TRIAL_DOCUMENTS:,} documents of each only.", style="yellow"))
    a, b, ids, texts = (difference[key] for key in ("a", "b", "ids", "texts"))
    if difference["identical"]:
        console.print(Text(f"The same corpus: {a['digest'][:12]}, {a['documents']:,} documents.", style="green"))
        return
    rows = [
        [name, f"{a[key]:,}", f"{b[key]:,}", f"{b[key] - a[key]:+,}"]
        for name, key in (("documents", "documents"), ("characters", "characters"), ("UTF-8 bytes", "bytes"))
    ]
    for name in sorted(a["sources"].keys() | b["sources"].keys()):
        before, after = (side["sources"].get(name, {"documents": 0})["documents"] for side in (a, b))
        rows.append([f"  of {name}", f"{before:,}", f"{after:,}", f"{after - before:+,}"])
    _table(console, ["", f"A {a['digest'][:12]}", f"B {b['digest'][:12]}", "B - A"], rows)
    _heading(console, "Documents")
    for words, count in (
        ("the same id and text", ids["same"]),
        ("the same id, another text", ids["changed"]),
        ("id only in A", ids["removed"]),
        ("id only in B", ids["added"]),
        ("of these with a text that A has under another id", texts["moved"]),
        ("text only in A", texts["gone"]),
        ("text only in B", texts["new"]),
    ):
        console.print(f"{count:>12,}  {words}", style="" if count else "dim")
    raw = difference["raw_files"]
    if any(raw.values()):
        _heading(console, "Raw files")
        console.print(f"{raw['added']:,} only in B, {raw['removed']:,} only in A, {raw['changed']:,} changed")
    _show_settings(difference["settings"], console)
    for kind, title in (("changed", "Changed"), ("removed", "Only in A"), ("added", "Only in B")):
        if difference["examples"][kind]:
            _heading(console, f"{title}, for example")
        for example in difference["examples"][kind]:
            _show_example(example, console)


def _show_settings(settings: list[dict[str, Any]], console: Console) -> None:
    if settings:
        _heading(console, "Settings")
    for row in settings[:SHOWN_SETTINGS]:
        before, after = (_setting(row[side]) if side in row else "(not there)" for side in ("a", "b"))
        console.print(Text.assemble((f"{row['setting']}  ", "cyan"), _printable(f"{before} -> {after}")))
    if len(settings) > SHOWN_SETTINGS:
        console.print(Text(f"and {len(settings) - SHOWN_SETTINGS} more; --json has all", style="dim"))


def _setting(value: Any) -> str:
    """A value as JSON; the beginning of one that is a whole section."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SETTING_CHARACTERS else f"{text[:SETTING_CHARACTERS]} ..."


def _show_example(example: dict[str, Any], console: Console) -> None:
    console.print(Text(_printable(example["id"]), style="bold cyan"))
    both = "a" in example and "b" in example
    for side, style in (("a", "red"), ("b", "green")):
        if side in example:
            own = example[side]
            line = " ".join(_printable(own["excerpt"]).split())
            sign = ("-" if side == "a" else "+") if both else " "
            dots = "… " if own["from"] else ""
            words = f"{sign} {own['characters']:,} characters: {dots}{line[:200]}"
            console.print(Text(words, style=style if both else ""))
