"""What a task's score has to be seen beside: always giving the most frequent answer, and how often each was given.

A model that says "yes" to everything scores 62 % on BoolQ. The score alone does not show it; the share of items that
the most frequent label has, and the shares of the labels that the model chose, do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelShares:
    """Of a multiple-choice task.

    Attributes:
        majority: share of the items whose right label is the most frequent one.
        majority_label: its name.
        predicted: share of each label among those the model chose.
    """

    majority: float
    majority_label: str
    predicted: Mapping[str, float]

    def figures(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "majority": self.majority,
            "majority_label": self.majority_label,
            "predicted": dict(self.predicted),
        }


def label_shares(samples: Sequence[Mapping[str, Any]], choices: Any) -> LabelShares | None:
    """The shares in a task's samples; None where it is no choice among labels.

    Args:
        samples: as the harness logs them.
        choices: the task's `doc_to_choice`: a list where every item has the same choices.
    """
    names = (
        [str(choice) for choice in choices] if isinstance(choices, Sequence) and not isinstance(choices, str) else []
    )
    right: Counter[str] = Counter()
    chosen: Counter[str] = Counter()
    for sample in samples:
        label = sample["doc"].get("label", sample["target"]) if isinstance(sample.get("doc"), Mapping) else None
        answers = sample.get("filtered_resps")
        if not isinstance(label, int) or not isinstance(answers, Sequence) or len(answers) < 2:
            return None
        scores = [float(answer[0]) for answer in answers]
        best = max(range(len(scores)), key=scores.__getitem__)
        right[_name(label, names)] += 1
        chosen[_name(best, names)] += 1
    if not right:
        return None
    ((label_name, count),) = right.most_common(1)
    total = sum(right.values())
    return LabelShares(count / total, label_name, {name: chosen[name] / total for name in sorted(chosen)})


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else chr(ord("A") + label) if label < 26 else str(label)
