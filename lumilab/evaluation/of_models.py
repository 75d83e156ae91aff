"""Evaluating one model: tasks of the harness and our own measures, in one result under the harness's names."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError
from lumilab.evaluation.assessment import assess
from lumilab.evaluation.harness.local_data import Row, read, written_normally
from lumilab.evaluation.harness.run import Asked, evaluate_tasks, quiet_harness
from lumilab.evaluation.journal import Journal
from lumilab.evaluation.label_shares import label_shares
from lumilab.evaluation.result_files import FOLDER, Result
from lumilab.evaluation.text_measures import Document, continue_documents, read_documents
from lumilab.inference.checkpoints import model_name
from lumilab.inference.engine import Engine
from lumilab.model import count_parameters
from lumilab.training.checkpoint import CHECKPOINT, TRAINING_STATE
from lumilab.training.hardware import resolve_device
from lumilab.work.context import WorkContext

if TYPE_CHECKING:
    from lm_eval.api.model import LM

RUN_FILE, MANIFEST = "run.json", "manifest.json"
OWN = ("perplexity", "completion")  # measures that are ours, not the harness's
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Policy:
    """What the figures depend on besides model and tasks.

    Attributes:
        bos: the beginning-of-text token before every text of a task.
        stride: of the windows in which long documents are read; None for the whole context.
        text: a file whose documents are read and continued, instead of WikiText's pages.
    """

    bos: bool = False
    stride: int | None = None
    text: Path | None = None


class Candidate:
    """A model that can be measured: a checkpoint of ours, or a folder that transformers opens.

    Args:
        path: the folder.
        device: where it is to run.

    Attributes:
        name: for tables.
        facts: what the result file says of it.
        results: the folder where its results go: of its run, or of the current folder.

    Raises:
        InputError, MismatchError, DamageError: it is no model.
    """

    def __init__(self, path: Path, device: DeviceName) -> None:
        self.path = path
        self.engine: Engine | None = None
        self._device = device
        if not _is_foreign(path):
            self.engine = Engine.load(path, device)
            artifact = Artifact.open(path)
            model, known = self.engine.model, self.engine.tokenizer
            self.name = model_name(path)
            self.facts: dict[str, Any] = {
                "model": str(path),
                "digest": artifact.digest,
                "stage": artifact.manifest.config.get("stage"),
                "step": _step_of(path),
                "parameters": count_parameters(model.config, model.vocabulary_size),
                "tokenizer": known.identity,
                "context": self.engine.context,
            }
        else:
            self.name = path.absolute().name
            self.facts = {"model": str(path), "digest": _digest_of(path), "stage": None, "step": None}
        run = next((folder for folder in path.absolute().parents if (folder / RUN_FILE).is_file()), Path())
        self.results = run / FOLDER

    def for_harness(self, policy: Policy, context: WorkContext) -> LM:
        """The model as the harness asks it."""
        if self.engine is not None:
            from lumilab.evaluation.harness.model import HarnessModel

            return HarnessModel(self.engine, bos=policy.bos, stop=context.stop)
        from lm_eval.models.huggingface import HFLM

        device = str(resolve_device(self._device))
        return HFLM(
            pretrained=str(self.path), device=device, dtype="auto", batch_size=8, add_bos_token=policy.bos or None
        )

    def journal(self, policy: Policy, asked: Asked) -> Journal:
        """Where its answers are kept: a file for each way of asking."""
        way = f"{'bos' if policy.bos else 'plain'}{'-chat' if asked.chat else ''}"
        return Journal(self.results / "answers" / f"{self.facts['digest'][:12]}-{way}.jsonl")


def evaluate_model(candidate: Candidate, asked: Asked, policy: Policy, context: WorkContext) -> Result:
    """Measures a model on tasks.

    Args:
        candidate: the model.
        asked: the tasks; of them `perplexity` and `completion` are our own measures.
        policy: what else the figures depend on.
        context: where progress goes and stops come from.

    Raises:
        ConfigError: a task is unknown, or something it needs is not installed.
        InputError: a task's data is missing or malformed.
        Interrupted: a stop was requested. What was answered is kept, and not asked again.
    """
    began, date = time.monotonic(), time.time()
    journal = candidate.journal(policy, asked)
    own = [task for task in asked.tasks if task.name in OWN]
    others = tuple(task for task in asked.tasks if task.name not in OWN)
    # First, as a missing text should not be found out after hours of other tasks.
    documents = documents_of(policy.text, asked.data) if own and candidate.engine else []
    figures: dict[str, Any] = {"results": {}, "n-samples": {}, "higher_is_better": {}, "date": date}
    samples: dict[str, Sequence[Mapping[str, Any]]] = {}
    context.report.say(f"{candidate.name}: {', '.join(task.name for task in asked.tasks)}")
    if others:
        with quiet_harness():
            from lumilab.evaluation.harness.remembering import Journalled

            model = Journalled(candidate.for_harness(policy, context), journal, context)
            outcome = evaluate_tasks(replace(asked, tasks=others), model, context)
        figures |= outcome.figures | {"date": date}
        samples |= outcome.samples
    for task in own:
        if candidate.engine is None:
            context.report.say(
                f"{task.name} is measured only for models of ours; `lumi import hf` makes this one.", "yellow"
            )
            continue
        measured, items, count = _own(
            task.name, candidate.engine, documents[: task.limit], policy.stride, journal, context
        )
        figures["results"][task.name] = {"name": task.name, "alias": task.name, "sample_len": count} | measured
        figures["n-samples"][task.name] = {"original": count, "effective": count}
        samples[task.name] = items
    figures["lumilab"] = candidate.facts | {
        "name": candidate.name,
        "bos": policy.bos,
        "stride": policy.stride or (candidate.engine.context if candidate.engine else None),
        "baselines": _baselines(figures, samples),
        "assessment": assess(figures["results"], candidate.facts["parameters"]) if candidate.engine else [],
        "asked": journal.asked,
        "remembered": journal.remembered,
        "seconds": time.monotonic() - began,
    }
    return Result(figures, samples)


def _own(
    name: str,
    engine: Engine,
    documents: Sequence[Document],
    stride: int | None,
    journal: Journal,
    context: WorkContext,
) -> tuple[dict[str, float], list[dict[str, Any]], int]:
    """One of our own measures: its figures, and its items where comparisons have a use for them, and how many."""
    if name == "completion":
        figures, count = continue_documents(engine, documents, journal, context)
        return figures, [], count
    scores = read_documents(engine, documents, stride, journal, context)
    items = [
        {
            "doc_id": number,
            "doc_hash": hashlib.sha256(document.text.encode()).hexdigest(),
            **{
                f"{unit}_perplexity": (-nats, count)
                for unit, count in (("token", tokens), ("word", words), ("byte", size))
            },
            "bits_per_byte": (-nats, size),
        }
        for number, (document, (tokens, words, size, nats)) in enumerate(zip(documents, scores.documents, strict=True))
    ]
    return scores.figures(), items, len(items)


def documents_of(text: Path | None, data: Path | None) -> list[Document]:
    """The documents of a file, or WikiText's pages.

    Args:
        text: JSON lines with `text`, or a text file, which is one document; None for WikiText.
        data: the folder of local data, where WikiText is.

    Raises:
        ConfigError: neither is given.
        InputError: there is no text, or a row has none.
    """
    if text is None:
        if data is None:
            raise ConfigError(
                "Which texts are to be read?",
                where="perplexity",
                mend="give a file with --text, a folder that has WikiText with --data, or tasks without perplexity.",
            )
        rows: list[Row] = list(read(data=str(data), benchmark="wikitext")["test"])
        return [Document.of(written_normally(row), row["page"]) for row in rows]
    if not text.is_file():
        raise InputError("There is no such file", where=str(text), mend="check the path.")
    if text.suffix != ".jsonl":
        try:
            whole = text.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"The text is not UTF-8: {error}", where=str(text), mend="convert it.") from None
        documents = [whole] if whole.strip() else []
    else:
        documents = [
            _text_of(text, number, line) for number, line in enumerate(text.read_bytes().splitlines(), start=1)
        ]
    if not documents:
        raise InputError("There is no text in the file", where=str(text), mend="give another one.")
    return [Document.of(document) for document in documents]


def _text_of(file: Path, number: int, line: bytes) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        text = None
    if not isinstance(text, str) or not text.strip():
        raise InputError(
            "A row is no JSON object with a text", where=f"{file}, line {number}", mend='write {"text": "..."}.'
        )
    return text


def _baselines(figures: Mapping[str, Any], samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Majority and predicted labels of each task that is a choice."""
    found = {}
    for task, items in samples.items():
        shares = label_shares(items, figures.get("configs", {}).get(task, {}).get("doc_to_choice"))
        if shares is not None:
            found[task] = shares.figures()
    return found


def _is_foreign(path: Path) -> bool:
    """Whether a folder has a model that is none of our checkpoints: one of the hub's, or an export of ours.

    Raises:
        InputError: it has none at all.
    """
    if (path / MANIFEST).is_file():
        return Artifact.open(path).manifest.kind not in (CHECKPOINT, TRAINING_STATE)
    if (path / "config.json").is_file():
        return True
    raise InputError(
        "There is no model here", where=str(path), mend="name a run, a checkpoint, or a Hugging Face model's folder."
    )


def _step_of(path: Path) -> int | None:
    number = path.name.removeprefix("step_")
    return int(number) if number != path.name and number.isdigit() else None


def _digest_of(folder: Path) -> str:
    """Of a foreign model: of its configuration, and of the names, sizes and times of its weights."""
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors"))]
    config = (folder / "config.json").read_text()
    return hashlib.sha256(json.dumps([config, facts]).encode()).hexdigest()
