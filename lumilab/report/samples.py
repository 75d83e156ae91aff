"""The report's part on samples: what the model wrote to the same prompts as its training went on."""

from __future__ import annotations

from collections.abc import Iterable

from lumilab.page.pieces import section
from lumilab.page.svg import safe, shorten
from lumilab.report.log import History
from lumilab.report.run_view import RunView


def samples_over_time(run: RunView) -> str:
    """For each training and prompt the texts by step, folded."""
    blocks = [
        section(training.stage, _kept_form(training.history), *_prompts(training.history), level=3)
        for training in run.trainings
        if training.history.named("sample")
    ]
    if not blocks:
        return section("Samples", "<p>No training of this run has written samples.</p>")
    return section("Samples", '<p class="note">What the model wrote after so many steps, by prompt.</p>', *blocks)


def texts(pairs: Iterable[tuple[str, str]]) -> str:
    """Texts of models or users under their labels: as they are, and never markup."""
    shown = "".join(f'<dt>{safe(label)}</dt><dd dir="auto">{safe(text) or "(nothing)"}</dd>' for label, text in pairs)
    return f'<dl class="texts">{shown}</dl>'


def _prompts(history: History) -> list[str]:
    by_prompt: dict[str, list[tuple[str, str]]] = {}
    references: dict[str, str] = {}
    for event in history.named("sample"):
        prompt = str(event.get("prompt", ""))
        by_prompt.setdefault(prompt, []).append((f"step {event['step']:,}", str(event.get("text", ""))))
        if event.get("reference") is not None:
            references[prompt] = str(event["reference"])
    folded = []
    for prompt, written in by_prompt.items():
        whole = [("prompt", prompt)] if shorten(prompt, 80) != prompt else []
        given = [("what the data has", references[prompt])] if prompt in references else []
        title = f'{safe(shorten(prompt, 80)) or "(no prompt)"} <span class="of">{len(written)} texts</span>'
        folded.append(f"<details><summary>{title}</summary>{texts([*whole, *written, *given])}</details>")
    return folded


def _kept_form(history: History) -> str:
    """How many of the answers were in the form that is taught, where that was counted."""
    shares = history.curve("samples", "keeping_form")
    if not shares:
        return ""
    words = ", ".join(f"step {step:,.0f}: {100 * share:.0f} %" for step, share in shares)
    return f'<p class="note">Answers that keep the form: {words}.</p>'
