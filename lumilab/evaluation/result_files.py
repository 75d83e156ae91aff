"""Results on disk: JSON under the harness's names, a page to read, the items, and their history.

A folder `evaluation_results/` holds for each evaluation `results_STAMP_NAME.json`, `samples_STAMP_NAME.jsonl` (each
item with the model's answers) and `summary_STAMP_NAME.md`. Nothing is ever overwritten: the files are the history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lumilab.artifact import write_atomically
from lumilab.errors import InputError

FOLDER = "evaluation_results"
NAMES = re.compile(r"[^A-Za-z0-9._-]+")
Samples = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Result:
    """An evaluation of one model.

    Attributes:
        figures: as the file has them: `results` by task, `n-samples`, `higher_is_better`, ... and our own `lumilab`.
        samples: by task, each with `doc_id`, `doc_hash` and the item's metrics.
    """

    figures: Mapping[str, Any]
    samples: Samples

    @property
    def name(self) -> str:
        """The model's, for tables."""
        return str(self.figures.get("lumilab", {}).get("name") or self.figures.get("model_name") or "model")

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Metrics by task."""
        tasks: Mapping[str, Mapping[str, Any]] = self.figures["results"]
        return tasks

    def metrics(self, task: str) -> Iterator[tuple[str, float, float | None]]:
        """A task's metrics: name as in the file (`acc,none`), value, and standard error where there is one."""
        values = self.tasks.get(task, {})
        for key, value in values.items():
            name, comma, kind = key.partition(",")
            if comma and not name.endswith("_stderr") and isinstance(value, (int, float)):
                error = values.get(f"{name}_stderr,{kind}")
                yield key, float(value), float(error) if isinstance(error, (int, float)) else None

    def higher_is_better(self, task: str, metric: str) -> bool:
        """Whether a larger value of a metric is a better one."""
        name = metric.partition(",")[0]
        known = self.figures.get("higher_is_better", {}).get(task, {}).get(name)
        return not (name.endswith("perplexity") or name.startswith("bits_per")) if known is None else bool(known)


def write_result(result: Result, summary: str, folder: Path) -> Path:
    """Writes an evaluation's three files, and returns the path of the first; its time of day is in their names."""
    stamp = datetime.fromtimestamp(float(result.figures["date"]), UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
    ending = f"{stamp}_{NAMES.sub('-', result.name).strip('-')}"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"task": task, **sample}, default=str, ensure_ascii=False)
        for task, samples in result.samples.items()
        for sample in samples
    ]
    write_atomically(folder / f"samples_{ending}.jsonl", ("\n".join(lines) + "\n").encode() if lines else b"")
    write_atomically(folder / f"summary_{ending}.md", summary.encode())
    path = folder / f"results_{ending}.json"
    write_atomically(path, (json.dumps(result.figures, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def read_result(path: Path) -> Result:
    """An earlier evaluation, ours or of the harness itself, with its items where they are beside it.

    Args:
        path: a file, or a folder, of which the newest is meant.

    Raises:
        InputError: there is none.
    """
    if path.is_dir():
        files = sorted([*path.glob("results_*.json"), *(path / FOLDER).glob("results_*.json")])
        if not files:
            raise InputError("There are no results here", where=str(path), mend="make some with `lumi eval`.")
        path = max(files, key=lambda file: file.name)
    try:
        figures = json.loads(path.read_bytes())
        if not isinstance(figures["results"], dict):
            raise TypeError("`results` is not an object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"This is no result of an evaluation ({error})", where=str(path), mend="name another file."
        ) from None
    return Result(
        figures, _read_samples(path.with_name(path.name.replace("results_", "samples_", 1)).with_suffix(".jsonl"))
    )


def history(folder: Path) -> list[Result]:
    """All results in a folder, the oldest first; of their items none is read."""
    found = []
    for file in sorted(folder.glob("results_*.json")):
        try:
            figures = json.loads(file.read_bytes())
            found.append(Result({"results": {}, **figures}, {}))
        except (ValueError, TypeError):
            continue  # somebody else's file of that name
    return found


def _read_samples(path: Path) -> Samples:
    samples: dict[str, list[Mapping[str, Any]]] = {}
    if path.is_file():
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            samples.setdefault(sample.pop("task"), []).append(sample)
    return samples
