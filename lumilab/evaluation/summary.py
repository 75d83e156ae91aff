"""The results as figures for programs and as a page for people, who are told plainly when a baseline won."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lumilab.evaluation.answers import Answer
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.measures import RANKS, Prediction


@dataclass(frozen=True)
class FormKept:
    """Of so many held-back questions that were asked, how many were answered in the form that was taught."""

    asked: int
    keeping: int


@dataclass(frozen=True)
class Results:
    """All that was measured.

    Attributes:
        text: what was predicted.
        models: figures by stage in the order of training, beginning with "untrained", which is measured on a sample.
        unigram: what token frequencies alone make of the text.
        compressors: bits per byte by command.
        forms: of the models that chat, by stage.
    """

    text: HeldBackText
    models: Mapping[str, Prediction]
    unigram: Prediction
    compressors: Mapping[str, float]
    forms: Mapping[str, FormKept]

    def bits_per_byte(self) -> dict[str, float]:
        """The one scale on which models and baselines compare."""
        models = {stage: prediction.bits_per_byte for stage, prediction in self.models.items()}
        return models | {"unigram": self.unigram.bits_per_byte} | dict(self.compressors)

    def figures(self) -> dict[str, Any]:
        """The content of results.json."""
        return {
            "text": {
                "split": "validation",
                "windows": self.text.count,
                "window": self.text.window,
                "tokens": self.unigram.tokens,
                "bytes": self.unigram.bytes,
            },
            "models": {stage: prediction.figures() for stage, prediction in self.models.items()},
            "baselines": {
                "uniform": {"loss": math.log(self.text.tokenizer.vocabulary_size)},
                "unigram": self.unigram.figures(),
                **{command: {"bits_per_byte": bits} for command, bits in self.compressors.items()},
            },
            "form_kept": {stage: asdict(kept) for stage, kept in self.forms.items()},
        }


def write_summary(results: Results, answers: Sequence[Answer]) -> str:
    """The page, in Markdown."""
    where = (
        f"On {results.unigram.tokens:,} tokens ({results.unigram.bytes:,} bytes) of the validation split, in "
        f"{results.text.count:,} windows of {results.text.window:,} tokens. Lower is better, except for accuracy."
    )
    parts = [
        "# Evaluation",
        where,
        "\n".join(_model_table(results)),
        "\n".join(_baseline_table(results)),
        " ".join(_verdicts(results)),
    ]
    if results.forms:
        parts.append(" ".join(_forms(results.forms)))
    if answers:
        parts += ["## Answers", *(f"**{item.prompt}**\n\n{_quoted(item)}" for item in answers)]
    return "\n\n".join(parts) + "\n"


def _model_table(results: Results) -> Iterator[str]:
    accuracies = [f"top-{rank} accuracy" for rank in RANKS]
    yield "| | " + " | ".join(["bits per byte", "loss (nats per token)", "perplexity per token", *accuracies]) + " |"
    yield "|---" + "|---:" * (3 + len(RANKS)) + "|"
    rows = {"token frequencies (unigram)": results.unigram, **results.models}
    for name, prediction in rows.items():
        shares = [f"{100 * prediction.accuracy(rank):.1f} %" for rank in RANKS]
        cells = [f"{prediction.bits_per_byte:.3f}", f"{prediction.loss:.3f}", f"{prediction.perplexity:.1f}", *shares]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _baseline_table(results: Results) -> Iterator[str]:
    yield "| compressor | bits per byte |"
    yield "|---|---:|"
    for command, bits in results.compressors.items():
        yield f"| `{command}` | {bits:.3f} |"


def _verdicts(results: Results) -> Iterator[str]:
    """How the last pretrained stage compares, said as it is."""
    stage, prediction = next((stage, figures) for stage, figures in results.models.items() if stage != "untrained")
    bits = prediction.bits_per_byte
    others = {"the unigram baseline": results.unigram.bits_per_byte} | {
        f"`{command}`": other for command, other in results.compressors.items()
    }
    for name, other in others.items():
        if bits < other:
            yield f"The {stage} model needs {100 * (1 - bits / other):.0f} % fewer bits than {name}."
        else:
            yield f"The {stage} model does not beat {name}: it needs {100 * (bits / other - 1):.0f} % more bits."


def _forms(forms: Mapping[str, FormKept]) -> Iterator[str]:
    """How many answers end their turn themselves and hold no mark of another one."""
    for stage, kept in forms.items():
        of = f"Of {kept.asked:,} questions of held-back conversations"
        yield f"{of}, {stage} answers {kept.keeping:,} in the form taught."


def _quoted(item: Answer) -> str:
    text = item.text.strip() or "(no answer)"
    cut = "" if item.finish_reason == "stop" else " […]"
    return "\n".join(f"> {line}".rstrip() for line in (text + cut).splitlines())
