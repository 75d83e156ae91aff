"""Supervised fine-tuning: a model that continues text learns to answer, on the one training loop.

Cross-entropy on the assistant's tokens only (Ouyang et al. 2022, InstructGPT, section 3.5; the mask is the template's),
with several conversations in a window and none seeing another. The sum over a batch is divided by its trained tokens,
so long answers count by their length and short ones are not drowned by padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.dataset.loader import rank_rows
from lumilab.dataset.split import TRAIN, VALIDATION
from lumilab.errors import MismatchError
from lumilab.model import Transformer
from lumilab.posttraining.adapters import begin_adapter
from lumilab.posttraining.chat_files import chat_files
from lumilab.posttraining.examples import Examples, form_of
from lumilab.posttraining.template import Rendered
from lumilab.posttraining.trl_sft import sft_trainer
from lumilab.posttraining.visits import spread, visited
from lumilab.posttraining.windows import PackedWindows
from lumilab.posttraining.with_trl import train_with_trl
from lumilab.recipe.finetuning import SftConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.devices import Devices
from lumilab.training.loop import train
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.run import Probe, Sampler
from lumilab.training.stage import TrainBy, train_stage
from lumilab.work.context import WorkContext

STAGE = "sft"
PADDING = -1  # instead of a window's number: a window of padding


def sft(
    config: SftConfig,
    window: int,
    seed: int,
    base: Artifact,
    conversations: Artifact,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
    sampler: Sampler | None = None,
    probe: Probe | None = None,
) -> Artifact:
    """Fine-tunes a checkpoint on conversations and publishes it as `target`, going on where an earlier run stopped.

    Args:
        config: of the training.
        window: tokens in each training window, at least the longest conversation.
        seed: of the order.
        base: the checkpoint to begin with.
        conversations: what to learn.
        tokenizer: the one both were made with.
        target: the folder of the new checkpoint; training states and logs go beside it.
        context: where progress goes and stops come from.
        sampler: answers questions while training.
        probe: measures the model as `config.suite` says.

    Raises:
        MismatchError: base or conversations were made with another tokenizer, or do not fit each other's lengths.
        ResourceError: an adapter is wanted and PEFT is not installed, or the trainer is TRL's and TRL is not.
        As `lumilab.training.loop.train`.
    """
    known = Tokenizer.load(tokenizer.path)
    known.check_same(conversations.manifest.config["tokenizer_identity"], f"the conversations {conversations.path}")
    loaded = load_model(base)
    known.check_same(loaded.tokenizer_identity, f"the checkpoint {base.path}")
    if window > loaded.config.context:
        raise MismatchError(
            f"Windows of {window} tokens are longer than the model's context of {loaded.config.context}",
            where=str(base.path),
            mend="lower dataset.window, or begin with a checkpoint of a larger model.context.",
        )
    form = form_of(conversations)
    objective = AnswerTokens(conversations, window, config, seed, known.pad_id)
    context.report.say(f"  {objective.describe()}", style="dim")
    finish = begin_adapter(loaded.model, config.adapter, seed, context)
    by: TrainBy = train
    if config.trainer == "trl":
        by = partial(
            train_with_trl,
            base=base.path,
            make=sft_trainer(objective.conversations, config, form.template.special_id("pad", known)),
        )
    return train_stage(
        STAGE,
        loaded.model,
        objective,
        config,
        seed,
        inputs={"base": base, "conversations": conversations, "tokenizer": tokenizer},
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


class AnswerTokens:
    """The objective of supervised fine-tuning, over a conversations artifact.

    Every epoch visits each packed window exactly once, in an order that is a pure function of seed and epoch.

    Args:
        conversations: with the splits "train" and "validation".
        window: places in each training window.
        config: batch sizes, and how many validation windows.
        seed: of the order.
        pad_id: fills what is left of a window.

    Attributes:
        window: places in each training window.
        epoch_steps: steps in which all packed windows are seen.

    Raises:
        MismatchError: a conversation is longer than the window.
    """

    def __init__(self, conversations: Artifact, window: int, config: TrainingConfig, seed: int, pad_id: int) -> None:
        train, validation = (Examples.open(conversations, split) for split in (TRAIN, VALIDATION))
        longest = max((*train.lengths(), *validation.lengths()), default=0)
        if longest > window:
            raise MismatchError(
                f"A conversation takes {longest} places, but the windows have {window}",
                where=str(conversations.path),
                mend="build the conversations again with a lower conversations.max_tokens.",
            )
        self._train = PackedWindows(train, window, pad_id)
        self._validation = PackedWindows(validation, window, pad_id)
        self.window = window
        self.epoch_steps = len(self._train) / config.batch_size
        self._filled = sum(train.lengths()) / (len(self._train) * window)
        self._conversations = len(train)
        self._config = config
        self._seed = seed
        self._devices = Devices.of_this_process()

    def describe(self) -> str:
        """What there is to learn, in a line."""
        epochs = self._config.steps * self._config.batch_size / len(self._train)
        return (
            f"{self._conversations:,} conversations in {len(self._train):,} windows "
            f"({100 * self._filled:.0f} % filled), seen {epochs:.1f} times"
        )

    def batch(self, step: int) -> Batch:
        """This rank's rows of a step's global batch: [rows, window]."""
        size = self._config.batch_size
        rows = rank_rows(size, self._devices.rank, self._devices.count)
        return self._train.batch(self._windows(range(step * size + rows.start, step * size + rows.stop)))

    def conversations(self, samples: range) -> Iterator[list[Rendered]]:
        """The conversations in each window of the run, by the windows' numbers from the run's beginning."""
        for window in self._windows(samples):
            yield self._train.conversations(window)

    def _windows(self, samples: range) -> list[int]:
        return visited(samples, len(self._train), self._seed, "sft")

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        """Cross-entropy summed over the trained tokens."""
        return summed_cross_entropy(model, batch)

    def facts(self, first: int, count: int) -> dict[str, float]:
        """Nothing: all conversations are one source."""
        return {}

    def measures(self, means: Sequence[float]) -> dict[str, float]:
        """Nothing but the loss is summed."""
        return {}

    def validation(self, rows: int) -> Iterator[Batch]:
        """Validation windows, evenly spread; the last batch is filled up with padding. None without conversations."""
        windows = spread(self._config.validation_windows, len(self._validation))
        for first in range(0, len(windows), rows):
            part = windows[first : first + rows]
            yield self._validation.batch(part + [PADDING] * (rows - len(part)))
