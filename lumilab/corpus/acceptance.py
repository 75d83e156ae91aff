"""Whether what was read is good enough to become a corpus, and what a person at the terminal is told of it.

A source with more unreadable records than `max_bad_share` allows ends the build before anything is published: a few
damaged records are the rule in large data, many mean a wrong field, a wrong file or a broken disk.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers import formats
from lumilab.corpus.tally import EXAMPLES, Tally, totals
from lumilab.errors import InputError
from lumilab.recipe.corpus import CorpusConfig
from lumilab.work.progress import Reporter, format_bytes

_SHOWN_REASONS = 8


def check_readable(
    config: CorpusConfig, tallies: Sequence[Tally], folders: Mapping[str, Path], list_all: Callable[[], Path]
) -> None:
    """Compares the share of unreadable records of each source with what the configuration allows.

    Args:
        config: the corpus section.
        tallies: of every part.
        folders: where each root is that is on this machine.
        list_all: called where the share is exceeded: writes a file of all unreadable records and says where it is.

    Raises:
        InputError: a source has more of them.
    """
    for section in config.sources:
        parts = [tally for tally in tallies if tally.source == section.name]
        read = sum(tally.read for tally in parts)
        unreadable = sum(tally.unreadable.total() for tally in parts)
        if unreadable <= config.max_bad_share * read:
            continue
        examples = [record for tally in parts for record in tally.examples][:EXAMPLES]
        shown = "; ".join(map(str, examples))
        raise InputError(
            f"{unreadable:,} of {read:,} records of source {section.name!r} cannot be read ({unreadable / read:.2%}), "
            f"more than max_bad_share ({config.max_bad_share:.2%}) allows: "
            f"{shown}{'; ...' if unreadable > len(examples) else ''}",
            where=_place(examples[0], folders),
            mend=f"{list_all()} lists all of them: mend or remove them, "
            f"{'check `text_field`, ' if hasattr(section, 'text_field') else ''}or raise corpus.max_bad_share.",
        )


def check_not_empty(config: CorpusConfig, tallies: Sequence[Tally]) -> None:
    """Sees to it that some document is left.

    Raises:
        InputError: there is none.
    """
    total = totals(tallies)
    left_out = sum(total["dropped"].values()) + sum(total["unreadable"].values())
    if total["read"] > left_out:
        return
    fates = [f"{count:,} dropped as {reason}" for reason, count in sorted(total["dropped"].items())]
    fates += [f"{count:,} unreadable ({reason})" for reason, count in sorted(total["unreadable"].items())]
    shortest = f"; documents under corpus.min_characters ({config.min_characters}) are dropped"
    raise InputError(
        f"The corpus is empty: {total['read']:,} records were read, {', '.join(fates) or 'none at all'}",
        where=", ".join(sorted({f"source {tally.source!r}" for tally in tallies})),
        mend=f"check the sources' paths{shortest if total['dropped'].get('short') else ''}"
        f"{', and the thresholds of corpus.filters' if total['dropped'] else ''}.",
    )


def write_list(lines: Iterable[bytes], path: Path) -> Path:
    """Writes the quarantine's lines; several ranks may write the same ones at the same time. Returns `path`."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.writelines(lines)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def tell(total: Mapping[str, Any], report: Reporter, quarantine: Path) -> None:
    """Says what the corpus holds, what was left out and why, and what could not be read.

    Args:
        total: as `totals` gives it.
        report: where to say it.
        quarantine: the file that lists what could not be read.
    """
    report.say(
        f"  {total['documents']:,} documents, {format_bytes(total['bytes'])} of text, of {total['read']:,} records read"
    )
    if total["dropped"]:
        report.say(f"  left out: {_reasons(total['dropped'])}", style="dim")
    if total["unreadable"]:
        count = sum(total["unreadable"].values())
        report.say(
            f"  {count:,} {'record' if count == 1 else 'records'} could not be read: {_reasons(total['unreadable'])}; "
            f"file and line of each are in {quarantine}",
            style="yellow",
        )


def _reasons(counts: Mapping[str, int]) -> str:
    """The most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {reason}" for reason, count in ordered[:_SHOWN_REASONS]]
    rest = sum(count for _, count in ordered[_SHOWN_REASONS:])
    return ", ".join([*shown, *([f"{rest:,} for other reasons"] if rest else [])])


def _place(record: BadRecord, folders: Mapping[str, Path]) -> str:
    file = str(folders[record.root] / record.file) if record.root in folders else record.file
    if record.line is None:
        return file
    lines = formats.format_of(record.file) in formats.JSON_LINES + formats.JSON + formats.CSV
    return f"{file}, {'line' if lines else 'record'} {record.line}"
