"""Preference training: a model that answers learns which answers are preferred, on the one training loop.

The losses are in `preference_losses.py`. A row is a pair (for KTO an answer and one of another prompt), both of whose
sides are trained on in one pass; the loss is averaged over rows. What the model that training begins with gives the
answers is worked out once before (`reference.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.dataset.loader import rank_rows
from lumilab.dataset.split import SPLITS, TRAIN, VALIDATION
from lumilab.errors import MismatchError
from lumilab.model import Transformer
from lumilab.posttraining.adapters import begin_adapter
from lumilab.posttraining.chat_files import chat_files
from lumilab.posttraining.comparisons import (
    PADDING,
    SIDES,
    ComparedBatch,
    JudgedAnswers,
    Pairs,
    RowBatches,
    Rows,
    widths_for,
)
from lumilab.posttraining.examples import form_of
from lumilab.posttraining.preference_losses import OBJECTIVES, Judged, Scores
from lumilab.posttraining.reference import ReferenceScores, answer_scores
from lumilab.posttraining.template import Rendered
from lumilab.posttraining.trl_preference import preference_trainer
from lumilab.posttraining.visits import spread, visited
from lumilab.posttraining.with_trl import train_with_trl
from lumilab.recipe.preference import PreferenceConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.devices import Devices
from lumilab.training.hardware import memory_explained, repeatable, resolve_device, resolve_dtype
from lumilab.training.loop import train
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.training.run import Probe, Sampler
from lumilab.training.stage import TrainBy, train_stage
from lumilab.work.context import WorkContext

STAGE = "preference"
KIND = "pairs"
SCORED_TOGETHER = 8  # rows, where the recipe leaves it open how many fit into memory


def preference(
    config: PreferenceConfig,
    seed: int,
    base: Artifact,
    pairs: Artifact,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
    sampler: Sampler | None = None,
    probe: Probe | None = None,
) -> Artifact:
    """Trains a checkpoint on preferences and publishes it as `target`, going on where an earlier run stopped.

    Args:
        config: of the training.
        seed: of the order.
        base: the checkpoint to begin with, which is the reference, too.
        pairs: what to learn.
        tokenizer: the one both were made with.
        target: the folder of the new checkpoint; training states and logs go beside it, the reference's
            log-probabilities beside its parent.
        context: where progress goes and stops come from.
        sampler: answers questions while training.
        probe: measures the model as `config.suite` says.

    Raises:
        MismatchError: base or pairs were made with another tokenizer, or do not fit each other's lengths.
        ResourceError: an adapter is wanted and PEFT is not installed, or the trainer is TRL's and TRL is not.
        As `lumilab.training.loop.train`.
    """
    known = Tokenizer.load(tokenizer.path)
    known.check_same(pairs.manifest.config["tokenizer_identity"], f"the pairs {pairs.path}")
    loaded = load_model(base)
    known.check_same(loaded.tokenizer_identity, f"the checkpoint {base.path}")
    form = form_of(pairs)
    objective = Preferences(pairs, config, seed, known.pad_id, loaded.config.context)
    context.report.say(f"  {objective.describe()}", style="dim")
    if config.objective != "orpo":
        objective.compare_with(loaded.model, {"base": base, "pairs": pairs}, target.parent.parent, context)
    finish = begin_adapter(loaded.model, config.adapter, seed, context)  # behind it: the reference has none
    by: TrainBy = train
    if config.trainer == "trl":
        make = preference_trainer(objective.pairs, config, form.template.special_id("pad", known))
        by = partial(train_with_trl, base=base.path, make=make)
    return train_stage(
        STAGE,
        loaded.model,
        objective,
        config,
        seed,
        inputs={"base": base, "pairs": pairs, "tokenizer": tokenizer},
        tokenizer=known,
        target=target,
        context=context,
        sampler=sampler,
        probe=probe,
        files=chat_files(known, loaded.config.context, form),
        eos_id=form.template.end_id(known),
        finish=finish,
        by=by,
    )


class Preferences:
    """The objective of preference training, over a pairs artifact.

    Every epoch visits each row exactly once, in an order that is a pure function of seed and epoch.

    Args:
        pairs: with the splits "train" and "validation".
        config: the loss, batch sizes, and how many validation rows.
        seed: of the order.
        pad_id: fills what is left of a side.
        context: places that the model has.

    Attributes:
        window: places in a row's two sides, where both are as long as can be.
        epoch_steps: steps in which all rows are seen.

    Raises:
        MismatchError: a side is longer than the model's context, or the rows are not for this loss.
    """

    def __init__(self, pairs: Artifact, config: PreferenceConfig, seed: int, pad_id: int, context: int) -> None:
        self._form: Callable[[Artifact, str], Rows] = JudgedAnswers if config.objective == "kto" else Pairs
        rows = {split: self._form(pairs, split) for split in SPLITS}
        longest = max(each.longest() for each in rows.values())
        if longest > context:
            raise MismatchError(
                f"An answer with its prompt takes {longest} places, but the model has {context}",
                where=str(pairs.path),
                mend="build the pairs again with a lower preference.max_tokens.",
            )
        widths = widths_for(longest, context)
        self._widths = widths[-1:] if config.micro_batch_size == "auto" else widths  # what fits once has to fit always
        self._pad_id = pad_id
        self._batches = self._with(rows, {})
        self.window = SIDES * widths[-1]
        self.epoch_steps = len(rows[TRAIN]) / config.batch_size
        self._config = config
        self._seed = seed
        self._devices = Devices.of_this_process()

    def describe(self) -> str:
        """What there is to learn, in a line."""
        count = len(self._batches[TRAIN])
        epochs = self._config.steps * self._config.batch_size / count
        what = "answers with a verdict" if self._config.objective == "kto" else "pairs"
        return f"{count:,} {what}, seen {epochs:.1f} times; {len(self._batches[VALIDATION]):,} held back"

    def compare_with(
        self, reference: Transformer, inputs: Mapping[str, Artifact], folder: Path, context: WorkContext
    ) -> None:
        """Gives each row what the reference makes of its answers.

        Args:
            reference: with its weights of the beginning; it is moved to the device that trains.
            inputs: the artifacts that it and the rows are from.
            folder: where its log-probabilities are kept, or found.
            context: where progress goes and stops come from.

        Raises:
            Interrupted: a stop was asked for.
        """
        config, device = self._config, resolve_device(self._config.device)
        reference.activation_dtype = dtype = resolve_dtype(config.dtype, device)
        together = config.micro_batch_size if isinstance(config.micro_batch_size, int) else SCORED_TOGETHER
        scores = ReferenceScores(
            reference.to(device).eval(),
            self._batches,
            dtype,
            inputs=inputs,
            form=self._form.__name__,
            folder=folder,
            rows=together,
        )
        with memory_explained(config), repeatable(device, config.deterministic):
            found = scores.get(context, self._devices)
        reference.train()
        self._batches = self._with({split: batches.rows for split, batches in self._batches.items()}, found)

    def batch(self, step: int) -> ComparedBatch:
        """This rank's rows of a step's global batch: [rows, 2, places]."""
        size, batches = self._config.batch_size, self._batches[TRAIN]
        rows = rank_rows(size, self._devices.rank, self._devices.count)
        samples = range(step * size + rows.start, step * size + rows.stop)
        return batches.batch(visited(samples, len(batches), self._seed, STAGE))

    def pairs(self, samples: range) -> Iterator[tuple[Rendered, Rendered]]:
        """The good and the bad answer, each behind its prompt, of the run's rows, by numbers from its beginning."""
        rows = self._batches[TRAIN].rows
        assert isinstance(rows, Pairs)
        for row in visited(samples, len(rows), self._seed, STAGE):
            yield rows.rendered(row)

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        """The summed loss and the sums of what is logged, [1 + 7]."""
        assert isinstance(batch, ComparedBatch)
        scores = Scores(
            policy=self._scores(model, batch),
            reference=batch.reference,
            tokens=(batch.labels != UNTRAINED).sum(-1),
            good=batch.good,
            there=batch.there(),
        )
        judged = OBJECTIVES[self._config.objective](scores, self._config)
        loss = torch.where(scores.there, judged.losses, 0.0).sum()
        return torch.stack([loss, *self._sums(scores, judged)])

    def measures(self, means: Sequence[float]) -> dict[str, float]:
        """Rewards of good and bad answers, by how much the good ones are ahead and how often, and log-probabilities;
        the names are TRL's."""
        good, bad, chosen, rejected, chosen_total, rejected_total, right = means
        return {
            "rewards/chosen": _share(chosen, good),
            "rewards/rejected": _share(rejected, bad),
            "rewards/margins": _share(chosen, good) - _share(rejected, bad),
            "rewards/accuracies": right,
            "logps/chosen": _share(chosen_total, good),
            "logps/rejected": _share(rejected_total, bad),
        }

    def facts(self, first: int, count: int) -> dict[str, float]:
        """Nothing: all rows are one source."""
        return {}

    def validation(self, rows: int) -> Iterator[ComparedBatch]:
        """Validation rows, evenly spread; the last batch is filled up with padding. None without rows."""
        numbers = spread(self._config.validation_windows, len(self._batches[VALIDATION]))
        for first in range(0, len(numbers), rows):
            part = numbers[first : first + rows]
            yield self._batches[VALIDATION].batch(part + [PADDING] * (rows - len(part)))

    def _with(self, rows: Mapping[str, Rows], reference: Mapping[str, npt.NDArray[Any]]) -> dict[str, RowBatches]:
        return {
            split: RowBatches(each, self._widths, self._pad_id, reference.get(split)) for split, each in rows.items()
        }

    def _scores(self, model: Transformer, batch: ComparedBatch) -> Tensor:
        """Log-probabilities of both sides' answers, [B, 2]."""
        if self._config.objective != "kto":
            return answer_scores(model, batch.ids, batch.labels)
        own = answer_scores(model, batch.ids[:, 0], batch.labels[:, 0])
        with torch.no_grad():  # the other prompts' answers are an estimate's, and nothing to learn
            others = answer_scores(model, batch.ids[:, 1], batch.labels[:, 1])
        return torch.stack((own, others), 1)

    def _sums(self, scores: Scores, judged: Judged) -> list[Tensor]:
        """How many good and bad answers, their rewards, their log-probabilities, and how often the margin was right."""
        rewards, totals, margins = judged.rewards.detach(), scores.policy.detach(), judged.margins.detach()
        if self._config.objective == "kto":
            good, bad = scores.there & scores.good, scores.there & ~scores.good
            columns = (0, 0)
        else:
            good = bad = scores.there
            columns = (0, 1)
        right = torch.where(scores.good, margins > 0, margins < 0) & scores.there
        return [
            good.sum().float(),
            bad.sum().float(),
            *(
                torch.where(which, values[:, column], 0.0).sum()
                for values in (rewards, totals)
                for which, column in zip((good, bad), columns, strict=True)
            ),
            right.sum().float(),
        ]


def _share(total: float, count: float) -> float:
    return total / count if count else float("nan")
