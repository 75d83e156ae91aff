"""Benchmarks while a model is being trained: what the training loop calls, made of the harness.

Training may not import this room, so the pipeline hands it in. Nothing is kept on disk: weights that will be other ones
at the next checkpoint are asked once.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lumilab.artifact import Artifact
from lumilab.evaluation.harness.find import find_tasks
from lumilab.evaluation.harness.run import Asked, evaluate_tasks, quiet_harness
from lumilab.evaluation.journal import Journal
from lumilab.evaluation.of_models import OWN, documents_of
from lumilab.evaluation.suites import requested
from lumilab.evaluation.text_measures import read_documents
from lumilab.inference.engine import Engine
from lumilab.model import Transformer
from lumilab.recipe.training import SuiteConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.run import Probe
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter


def benchmark_probe(config: SuiteConfig | None, tokenizer: Artifact) -> Probe | None:
    """What measures a model, where that is asked for; None otherwise.

    Its scores are named `TASK/METRIC`, and their standard errors `TASK/METRIC_stderr`.

    Raises:
        ConfigError: a task is unknown, or what it needs is not installed.
        InputError: a task's data is missing or malformed: now, and not after hours of training.
    """
    if config is None:
        return None
    data = Path(config.data) if config.data is not None else None
    tasks = requested(config.tasks, config.limit)
    others = tuple(task for task in tasks if task.name not in OWN)
    own = [task for task in tasks if task.name == "perplexity"]
    documents = documents_of(None, data)[: own[0].limit] if own else []
    known = Tokenizer.load(tokenizer.path)
    with quiet_harness():
        find_tasks(others, data)

    def probe(model: Transformer) -> dict[str, float]:
        engine, context = Engine(model, known), WorkContext(report=Reporter(Console(quiet=True)))
        results = {}
        with quiet_harness():
            from lumilab.evaluation.harness.model import HarnessModel
            from lumilab.evaluation.harness.remembering import Journalled

            asking = Journalled(HarnessModel(engine, bos=False, stop=context.stop), Journal(None), context)
            if others:
                results = evaluate_tasks(Asked(others, data), asking, context).figures["results"]
        if documents:
            results["perplexity"] = read_documents(engine, documents, None, Journal(None), context).figures()
        return {
            f"{task}/{metric.removesuffix(',none').replace(',', '_')}": float(value)
            for task, metrics in results.items()
            for metric, value in metrics.items()
            if "," in metric and isinstance(value, (int, float))
        }

    return probe
