"""The report's part on the tokenizer: the figures of its card."""

from __future__ import annotations

import json
from typing import Any

from lumilab.page.charts import Bar, bar_chart
from lumilab.page.pieces import figure, folded, section, table, tiles
from lumilab.page.svg import safe
from lumilab.report.run_view import RunView


def tokenizer_card(run: RunView) -> str:
    """The tokenizer of the run; says so if there is none yet."""
    artifact = run.artifact("tokenizer")
    if artifact is None:
        return section("Tokenizer", "<p>There is no tokenizer yet.</p>")
    card = json.loads(artifact.file("card.json").read_bytes())
    roles = ", ".join(f"{role} <code>{safe(name)}</code>" for role, name in card["roles"].items())
    return section(
        "Tokenizer",
        tiles(_figures(card)),
        f"<p>{safe(card['algorithm'])}</p>",
        f'<p class="note">Special tokens: {roles}.</p>',
        f'<p class="note">Identity: <span class="id">{safe(card["identity"])}</span></p>',
        _fit(card),
        _learned_from(card),
        folded("The longest tokens", _longest(card)),
    )


def _figures(card: dict[str, Any]) -> list[tuple[str, str]]:
    fit, trip, used = card["all"], card["round_trip"], card["vocabulary_used"]
    facts = [("tokens in the vocabulary", f"{card['vocabulary_size']:,}"), ("reserved", f"{card['reserved_tokens']:,}")]
    if fit["bytes_per_token"] is not None:
        facts.append(("bytes per token", f"{fit['bytes_per_token']:.2f}"))
    if fit["tokens_per_word"] is not None:
        facts.append(("tokens per word", f"{fit['tokens_per_word']:.2f}"))
    if trip["documents"]:
        exact = trip["documents"] - len(trip["changed"])
        facts += [
            ("of the vocabulary in use", f"{100 * used['share']:.1f} %"),
            ("documents that come back unchanged", f"{exact:,} of {trip['documents']:,}"),
        ]
    return facts


def _fit(card: dict[str, Any]) -> str:
    measured = {name: fit for name, fit in card["sources"].items() if fit["bytes_per_token"] is not None}
    if not measured:
        return ""
    bars = [Bar(name, fit["bytes_per_token"], f"{fit['bytes_per_token']:.2f}") for name, fit in measured.items()]
    chart = bar_chart("fit", "Bytes per token by source", "More bytes per token are fewer tokens for a text.", bars)
    header = ("source", "#documents", "#bytes", "#tokens", "#bytes per token", "#tokens per word")
    rows = [
        (name, *(f"{fit[each]:,}" for each in ("documents", "bytes", "tokens")), _ratio(fit, 0), _ratio(fit, 1))
        for name, fit in [*card["sources"].items(), ("all", card["all"])]
    ]
    return figure(chart, "Bytes per token, on an even sample of each source.") + folded(
        "The numbers", table(header, rows)
    )


def _ratio(fit: dict[str, Any], which: int) -> str:
    value = fit[("bytes_per_token", "tokens_per_word")[which]]
    return "-" if value is None else f"{value:.3f}"


def _learned_from(card: dict[str, Any]) -> str:
    if "trained_on" not in card:
        return ""
    total = card["trained_on_characters"] or 1
    rows = [(name, f"{count:,}", f"{100 * count / total:.1f} %") for name, count in card["trained_on"].items()]
    return folded("What it was learned from", table(("source", "#characters", "#share"), rows))


def _longest(card: dict[str, Any]) -> str:
    rows = [(str(each["id"]), str(each["bytes"]), repr(each["text"])) for each in card["longest_tokens"]]
    return table(("#id", "#bytes", "text"), rows)
