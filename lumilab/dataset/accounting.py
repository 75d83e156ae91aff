"""Every token accounted for: what was encoded is what was written, and what was written is in a window or named.

The counts come from three places that know nothing of each other: the tasks that encoded, the shards that were
written, and the closed forms of the windows. A difference is a defect of ours, and nothing is published then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lumilab.dataset.encoding import Piece
from lumilab.dataset.split import SPLITS, TRAIN
from lumilab.dataset.windows import LAST_WINDOW, RegularWindows
from lumilab.recipe.dataset import DatasetConfig
from lumilab.work.progress import Reporter, format_bytes


def account(
    config: DatasetConfig, pieces: Iterable[Piece], written: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The statistics of a dataset.

    Args:
        config: the dataset section.
        pieces: what the tasks encoded.
        written: by split, the entries of the index, one for each source.

    Returns:
        For each split `documents`, `tokens`, `bytes`, `bytes_per_token`, `windows`, `left_over` (tokens by reason) and
        `sources`, which has the same for each source; and in `tokens` the account of both splits: `text` and `marks`
        went in, `windows` came out, `left_over` did not.

    Raises:
        RuntimeError: the account does not close to zero, which is a defect.
    """
    pieces = list(pieces)
    statistics: dict[str, Any] = {}
    for split in SPLITS:
        mine = [piece for piece in pieces if piece.split == split]
        sources = [_source(config, split, entry) for entry in written[split]]
        for key in ("documents", "tokens", "bytes"):
            for source in sources:
                encoded = sum(getattr(piece, key) for piece in mine if piece.source == source["source"])
                _close(f"{key} of {source['source']} in the {split} split", encoded, source[key])
            _close(f"{key} of the {split} split", sum(getattr(piece, key) for piece in mine), _sum(sources, key))
        total = {key: _sum(sources, key) for key in ("documents", "tokens", "bytes", "windows")}
        if split != TRAIN:  # is measured as one sequence
            total["windows"] = -(-(total["tokens"] - 1) // config.window)
        left_over = _sum([source["left_over"] for source in sources], LAST_WINDOW)
        statistics[split] = total | {
            "bytes_per_token": round(total["bytes"] / total["tokens"], 4),
            "left_over": {LAST_WINDOW: left_over} if left_over else {},
            "sources": sources,
        }
    text = sum(piece.text_tokens for piece in pieces)
    total_in = sum(piece.tokens for piece in pieces)
    left_over = sum(sum(statistics[split]["left_over"].values()) for split in SPLITS)
    in_windows = sum(source["in_windows"] for split in SPLITS for source in statistics[split]["sources"])
    _close("tokens in and out", total_in, in_windows + left_over)
    statistics["tokens"] = {
        "text": text,
        "marks": total_in - text,
        "windows": in_windows,
        "left_over": {LAST_WINDOW: left_over} if left_over else {},
    }
    return statistics


def _source(config: DatasetConfig, split: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of one source of a split, from its entry in the index."""
    counts = {key: entry[key] for key in ("source", "documents", "tokens", "bytes")}
    tokens = counts["tokens"]
    if split != TRAIN:
        return counts | {"windows": -(-tokens // config.window), "in_windows": tokens, "left_over": {}}
    if config.packing == "best_fit":
        windows, covered = _sum(entry["shards"], "windows"), _sum(entry["shards"], "window_tokens")
        _close(f"tokens of {counts['source']} in windows", tokens, covered)
    else:
        regular = RegularWindows.of(config)
        windows, covered = regular.count(tokens), regular.covered(tokens)
    left_over = {LAST_WINDOW: tokens - covered} if tokens > covered else {}
    return counts | {"windows": windows, "in_windows": covered, "left_over": left_over}


def tell(statistics: Mapping[str, Any], report: Reporter) -> None:
    """Says what the dataset holds, and where every token went."""
    tokens = statistics["tokens"]
    total = tokens["text"] + tokens["marks"]
    size = sum(statistics[split]["bytes"] for split in SPLITS)
    report.say(
        f"  {total:,} tokens: {tokens['text']:,} of {format_bytes(size)} of text "
        f"({size / max(tokens['text'], 1):.2f} bytes each) and {tokens['marks']:,} marks of documents"
    )
    for split in SPLITS:
        part = statistics[split]
        report.say(
            f"  {split}: {part['documents']:,} documents, {part['tokens']:,} tokens, {part['windows']:,} windows"
        )
    left_over = ", ".join(f"{count:,} {reason}" for reason, count in tokens["left_over"].items()) or "none"
    report.say(f"  left over: {left_over}", style="dim")


def _sum(entries: Iterable[Mapping[str, Any]], key: str) -> int:
    return sum(entry.get(key, 0) for entry in entries)


def _close(what: str, one: int, other: int) -> None:
    if one != other:
        raise RuntimeError(f"the account of the {what} does not close: {one:,} and {other:,}")
