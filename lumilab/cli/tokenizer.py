"""`lumi tokenizer`: learn one, take one that exists, look at what it does to text, prove it, delete it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lumilab.errors import ConfigError, DamageError, InputError
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter
from lumilab.work.stopping import stopping_on_signals

if TYPE_CHECKING:
    from lumilab.artifact import Artifact
    from lumilab.recipe.tokenizer import TokenizerConfig
    from lumilab.tokenizer.load import Tokenizer

app = typer.Typer(
    help="Learn tokenizers, import them, look at what they do to text.", no_args_is_help=False, rich_markup_mode=None
)

COLOURS = ("black on #9ad0f5", "black on #f7d794", "black on #b8e994", "black on #f8b5c5", "black on #d6c1f0")
SPECIAL_COLOUR = "bold white on red"

Place = Annotated[Path, typer.Argument(help="A tokenizer.json, or the folder of a tokenizer, a checkpoint or a run.")]
Corpus = Annotated[Path, typer.Argument(help="The folder of a corpus, or of a run.", metavar="CORPUS")]
OutFolder = Annotated[Path, typer.Option(help="The new tokenizer's folder.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TextFile = Annotated[Path | None, typer.Option("--file", help="Take the text from a file.", metavar="FILE")]


@app.command("train")
def train(
    corpus: Corpus,
    out: OutFolder,
    preset: Annotated[
        str, typer.Option(help="Kind and size: bpe32k, bpe50k, spm32k or spm32k-unigram.", metavar="NAME")
    ] = "bpe32k",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="A value to change, such as vocabulary_size=8192.", metavar="KEY=VALUE"),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weight", help="A source's share of the learning text.", metavar="SOURCE=SHARE"),
    ] = None,
) -> None:
    """Learn a vocabulary from a corpus."""
    from lumilab.tokenizer.train import train_tokenizer

    config = _learning(preset, overrides, weights)
    report = Reporter()
    with stopping_on_signals() as stop, _reserved(out, WorkContext(report, stop)) as context:
        artifact = train_tokenizer(config, _corpus(corpus), out, context)
    _say_published(artifact, report)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="A file, a folder, a name on the hub (OWNER/NAME), or codellama.")],
    out: OutFolder,
    revision: Annotated[str, typer.Option(help="On the hub: branch, tag or commit.")] = "main",
    corpus: Annotated[
        Path | None, typer.Option(help="Measure how it fits this corpus, or this run's.", metavar="DIR")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Add no tokens; without turn markers a model cannot learn to chat.")
    ] = False,
) -> None:
    """Take a tokenizer that was learned elsewhere: tokenizer.json, SentencePiece, vocabulary with merges, tiktoken."""
    from lumilab.recipe.load import checked_section
    from lumilab.recipe.tokenizer import TokenizerConfig
    from lumilab.tokenizer.pretrained import import_tokenizer

    local = Path(source).expanduser().exists() or source.startswith((".", "/", "~")) or source.count("/") > 1
    place = {"model_file": source} if local else {"hub": source}
    config = checked_section(TokenizerConfig, algorithm="pretrained", revision=revision, **place)
    report = Reporter()
    with stopping_on_signals() as stop, _reserved(out, WorkContext(report, stop)) as context:
        measured = _corpus(corpus) if corpus else None
        artifact = import_tokenizer(config, out, context, measured, exact=exact)
    _say_published(artifact, report)


@app.command("encode")
def encode(
    tokenizer: Place,
    text: Annotated[str | None, typer.Argument(help="The text; standard input otherwise.", metavar="[TEXT]")] = None,
    file: TextFile = None,
    special: Annotated[
        bool, typer.Option("--special", help="Take names of special tokens in the text for the tokens.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the tokens of a text, each in a colour, and their ids."""
    known = _load(tokenizer)
    content = _text(text, file)
    ids = known.encode(content, allow_special=special)
    if as_json:
        typer.echo(json.dumps({"ids": ids, "pieces": [_piece(known, token) for token in ids]}, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(_coloured(known, ids))
    console.print(Text(" ".join(map(str, ids)), style="dim"))
    size = len(content.encode())
    ratio = f", {size / len(ids):.2f} bytes per token" if ids else ""
    console.print(f"{len(ids):,} tokens, {size:,} bytes{ratio}")


@app.command("decode")
def decode(
    tokenizer: Place,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Token ids; from standard input otherwise.", metavar="[ID]...")
    ] = None,
    keep_special: Annotated[bool, typer.Option("--keep-special", help="Show special tokens by name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn token ids back to text."""
    words = ids if ids else sys.stdin.read().split()
    numbers = [_number(part) for word in words for part in word.strip("[]").replace(",", " ").split()]
    text = _load(tokenizer).decode(numbers, keep_special=keep_special)
    # Written as it is: echo would take away what looks like a terminal's colours.
    sys.stdout.write((json.dumps({"text": text}, ensure_ascii=False) if as_json else text) + "\n")


@app.command("inspect")
def inspect(
    tokenizer: Place,
    token: Annotated[list[int] | None, typer.Option("--token", help="Show this token only.", metavar="ID")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a tokenizer is: its size, special tokens and card; or what single tokens are."""
    folder = _folder(tokenizer)
    known = _load(tokenizer)
    values: dict[str, Any] = {
        "identity": known.identity,
        "vocabulary_size": known.vocabulary_size,
        "roles": {role: {"token": name, "id": known.role_id(role)} for role, name in known.roles.items()},
        "special_tokens": len(known.special_names),
    }
    if token:
        values = {str(number): {**_piece(known, number), "bytes": known.token_bytes(number).hex()} for number in token}
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for name, value in values.items():
        if name != "roles":  # the card has them in words
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            console.print(Text.assemble((f"{name:<16} ", "cyan"), shown))
    page = folder / "TOKENIZER_CARD.md"
    if page.is_file() and not token:
        console.print()
        console.print(Text(page.read_text(encoding="utf-8")))


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="A tokenizer.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Another.", metavar="B")],
    file: TextFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell what differs between two tokenizers, and how they cut a text (the built-in sample otherwise)."""
    from lumilab.tokenizer.comparison import compare_tokenizers
    from lumilab.tokenizer.probe import probe_texts

    texts = [_read(file)] if file else probe_texts()
    found = compare_tokenizers(_load(a), _load(b), texts)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    if found["identical"]:
        console.print(Text(f"The same tokenizer: {found['a']['identity'][:12]}.", style="green"))
        return
    for name in ("identity", "vocabulary_size", "tokens", "bytes_per_token"):
        left, right = found["a"][name], found["b"][name]
        shown = [f"{value:,}" if isinstance(value, int) else str(value)[:12] for value in (left, right)]
        console.print(Text.assemble((f"{name:<16} ", "cyan"), f"{shown[0]:>14} {shown[1]:>14}"))
    tokens, cut = found["tokens"], found["texts"]
    console.print(f"{tokens['shared']:,} tokens in both, {tokens['same_id']:,} of them with the same id")
    for side in ("a", "b"):
        console.print(f"{tokens[f'only_{side}']:,} only in {side.upper()}", end="")
        longest = [repr(each) for each in tokens[f"longest_only_{side}"][:5]]
        console.print(Text(f", such as {', '.join(longest)}" if longest else "", style="dim"))
    console.print(f"{cut['same_ids']:,} of {cut['count']:,} texts have the same ids")


@app.command("verify")
def verify(tokenizer: Place, as_json: AsJson = False) -> None:
    """Prove a tokenizer: files as published, encoders that agree, text that comes back."""
    from lumilab.tokenizer.verification import verify_tokenizer

    findings = list(verify_tokenizer(_folder(tokenizer)))
    if as_json:
        typer.echo(json.dumps([vars(each) for each in findings], ensure_ascii=False, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        styles = {True: "green", False: "red", None: "yellow"}
        for each in findings:
            console.print(Text.assemble((f"{each.check:<16} ", "cyan"), (each.result, styles[each.good])))
    bad = next((each for each in findings if each.good is False), None)
    if bad is not None:
        raise DamageError(
            f"The tokenizer is not as it was published: {bad.check}: {bad.result}",
            where=str(tokenizer),
            mend="restore the file, or make it again with `lumi run RECIPE --force tokenizer`.",
        )


@app.command("delete")
def delete(
    tokenizer: Annotated[Path, typer.Argument(help="The folder of a tokenizer, or of a run.", metavar="DIR")],
) -> None:
    """Delete a tokenizer, after YES was typed: what was made with it can only be used with it."""
    from lumilab.artifact import Artifact, sweep_leftovers

    artifact = Artifact.open(_folder(tokenizer).resolve(), kind="tokenizer")
    report = Reporter()
    identity = str(artifact.manifest.statistics.get("identity", artifact.digest))
    report.say(f"This is the tokenizer {identity[:12]} in {artifact.path}.")
    report.say("Datasets and models made with it cannot be used without it.", style="yellow")
    typer.echo("Type YES to delete it: ", nl=False)
    if sys.stdin.readline().strip() != "YES":
        raise ConfigError("Nothing was deleted", where="command line", mend="type YES, in capitals, to delete it.")
    # Out of sight in one step, whatever happens to this process; the next to work on this name sweeps what it left.
    artifact.path.rename(artifact.path.with_name(f".{artifact.path.name}.replaced-{os.getpid()}"))
    sweep_leftovers(artifact.path)
    report.say(f"\nThe tokenizer {identity[:12]} is deleted.")


# --- what is meant ---------------------------------------------------------------------------------------------------


def _learning(preset: str, overrides: list[str] | None, weights: list[str] | None) -> TokenizerConfig:
    from lumilab.recipe.load import checked_section
    from lumilab.recipe.tokenizer import TokenizerConfig
    from lumilab.tokenizer.presets import PRESETS

    if preset not in PRESETS:
        raise ConfigError(
            f"There is no preset called {preset}", where="--preset", mend=f"the presets are {', '.join(PRESETS)}."
        )
    values = dict(PRESETS[preset]) | dict(_setting(word) for word in overrides or [])
    shares = dict(_weight(word) for word in weights or [])
    return checked_section(TokenizerConfig, **values, **({"weights": shares} if shares else {}))


def _setting(word: str) -> tuple[str, Any]:
    name, sign, value = word.partition("=")
    if not sign or name == "weights":
        raise ConfigError(f"--set {word} is not KEY=VALUE", where="command line", mend="write vocabulary_size=8192.")
    return name, None if value == "null" else value


def _weight(word: str) -> tuple[str, float]:
    name, _, share = word.rpartition("=")
    try:
        return name, float(share)
    except ValueError:
        raise ConfigError(
            f"--weight {word} is not SOURCE=SHARE", where="command line", mend="write wiki=0.7."
        ) from None


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ConfigError(f"{word!r} is no token id", where="command line", mend="give whole numbers.") from None


def _folder(path: Path) -> Path:
    """The tokenizer that a run's folder points at; any other path as it is."""
    return _current(path, "tokenizer")


def _current(path: Path, stage: str) -> Path:
    from lumilab.pipeline.records import FILE_NAME, current_artifact

    if not (path / FILE_NAME).is_file():
        return path
    found = current_artifact(path, stage)
    if found is None:
        raise InputError(
            f"This run has no {stage} yet", where=str(path), mend=f"build it with `lumi run RECIPE --until {stage}`."
        )
    return found.path


def _corpus(path: Path) -> Artifact:
    from lumilab.artifact import Artifact

    return Artifact.open(_current(path, "corpus"), kind="corpus")


def _load(path: Path) -> Tokenizer:
    from lumilab.tokenizer.load import Tokenizer

    return Tokenizer.load(_folder(path))


@contextmanager
def _reserved(out: Path, context: WorkContext) -> Iterator[WorkContext]:
    """The right to build `out`, where there is nothing yet."""
    from lumilab.work.lock import exclusive

    with exclusive(out.absolute(), context):
        if out.exists():
            raise ConfigError("There is something there already", where=str(out), mend="choose another --out.")
        yield context


def _text(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise ConfigError("A text and --file were given", where="command line", mend="give one of them.")
    if file is not None:
        return _read(file)
    return text if text is not None else _decoded(sys.stdin.buffer.read(), "standard input")


def _read(file: Path) -> str:
    return _decoded(file.read_bytes(), str(file))


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            "This is not UTF-8 text", where=f"{where}, byte {error.start}", mend="convert it to UTF-8."
        ) from None


# --- showing ---------------------------------------------------------------------------------------------------------


def _piece(tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    name = tokenizer.special_names.get(token)
    return {"id": token, "text": name or tokenizer.token_bytes(token).decode("utf-8", "backslashreplace")}


def _coloured(tokenizer: Tokenizer, ids: list[int]) -> Text:
    shown = Text()
    for place, token in enumerate(ids):
        special = token in tokenizer.special_names
        text = str(_piece(tokenizer, token)["text"])
        # A control character would drive the terminal; a line break is shown, and made.
        visible = "".join(
            "↵\n" if letter == "\n" else letter if letter.isprintable() else repr(letter)[1:-1] for letter in text
        )
        shown.append(visible, SPECIAL_COLOUR if special else COLOURS[place % len(COLOURS)])
    return shown


def _say_published(artifact: Artifact, report: Reporter) -> None:
    statistics = artifact.manifest.statistics
    report.say(f"The tokenizer {statistics['identity'][:12]}, {statistics['vocabulary_size']:,} tokens, is in "
               f"{artifact.path}.")  # fmt: skip
    report.say("Its card: TOKENIZER_CARD.md there, or `lumi tokenizer inspect`.", style="dim")
