"""Reinforcement learning from rewards that can be computed: group-relative policy optimisation, on the one loop.

The model answers each question several times; an answer's advantage is its reward less the mean of its group's (Shao et
al. 2024, "DeepSeekMath", section 4.1), and the log-probability of each of its tokens is pushed by that. The choices are
those the field has arrived at:

- On policy: answers are drawn from the weights as they are and trained on once. So the ratio of new to old
  probabilities is 1, nothing is ever clipped, and neither old log-probabilities nor a clipping range is needed.
- Every token of the batch weighs the same (Yu et al. 2025, DAPO, section 3.3), not every answer: else long wrong
  answers are punished less for each of their tokens.
- Advantages are not divided by the standard deviation unless it is asked for, as that favours questions that are almost
  always or almost never answered (Liu et al. 2025, "Understanding R1-Zero-Like Training", section 3.1).
- No distance to the first model unless `beta` is set: then the estimator exp(d) - d - 1 of its KL divergence, with d
  the reference's log-probability less the model's (Schulman 2020, "Approximating KL divergence", k3).

A group whose rewards are all equal has no signal and pushes nothing. A batch is a function of seed, step and weights,
each answer having random numbers of its own, so a run that goes on draws what it would have drawn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.dataset.loader import rank_rows
from lumilab.dataset.order import order_key
from lumilab.dataset.split import TRAIN, VALIDATION
from lumilab.errors import ConfigError
from lumilab.model import Transformer
from lumilab.model.log_probabilities import token_log_probabilities
from lumilab.posttraining.prompts import Question, load_questions
from lumilab.posttraining.rewards import WeightedReward, open_rewards
from lumilab.posttraining.rollouts import Answerer, Rollout
from lumilab.posttraining.template import render_prompt
from lumilab.posttraining.templates import ChatForm
from lumilab.posttraining.visits import spread, visited
from lumilab.recipe.grpo import GrpoConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.devices import Devices
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.training.row_shards import is_sharded
from lumilab.training.run import Sample

SMALLEST_DEVIATION = 1e-4  # added to the standard deviation that advantages are divided by
SEEDS = 2**62  # of answers; the generators take 64 bits, and each answer counts up from its step's
SHOWN = 3  # held-back questions whose answers are shown as samples


@dataclass(frozen=True, kw_only=True)
class AnswerBatch(Batch):
    """Answers to train on; a row is a question and one answer, whose tokens are the labels.

    Attributes:
        advantages: of each answer, [B], float32.
        figures: of each answer, [B, n], float32: its reward, each single reward without its weight, whether its group
            is without a signal, whether it was cut off; not a number where that is not known.
        reference: log-probabilities of the labels under the first model, [B, T], float32; None where beta is 0.
    """

    advantages: Tensor
    figures: Tensor
    reference: Tensor | None = None


class GradedBatch(AnswerBatch):
    """Answers that are graded and not trained on; its loss is the negative of the mean reward."""

    def divisor(self) -> Tensor:
        """The number of answers."""
        return answered(self).sum()


def answered(batch: Batch) -> Tensor:
    """Which rows have an answer, [B]: others only fill up."""
    return (batch.labels != UNTRAINED).any(1)


def group_advantages(rewards: Tensor, scale: bool = False) -> Tensor:
    """What each answer was better than its group.

    Args:
        rewards: [groups, answers of each].
        scale: divide by the group's standard deviation (of a sample) + 0.0001.

    Returns:
        The same shape; exactly 0 in groups whose rewards are all equal.
    """
    advantages = rewards - rewards.mean(1, keepdim=True)
    if scale:
        advantages = advantages / (rewards.std(1, keepdim=True) + SMALLEST_DEVIATION)
    return torch.where((rewards == rewards[:, :1]).all(1, keepdim=True), 0.0, advantages)


class GroupRelative:
    """The objective of GRPO, over a prompts artifact.

    Args:
        model: which is trained in place, and so always has the newest weights to answer with; now it has those of the
            reference.
        prompts: with the splits "train" and "validation".
        tokenizer, form: how the model is asked.
        config: group and batch sizes, rewards, and how many validation questions.
        seed: of the order and the answers.

    Attributes:
        window: places in each row: the longest question and the longest answer.
        epoch_steps: steps in which each question is asked once.

    Raises:
        ConfigError: a reward cannot be used, or there are more ranks than questions in a step.
    """

    def __init__(
        self,
        model: Transformer,
        prompts: Artifact,
        tokenizer: Tokenizer,
        form: ChatForm,
        config: GrpoConfig,
        seed: int,
    ) -> None:
        self._model, self._config, self._seed = model, config, seed
        self._reference = copy.deepcopy(model).requires_grad_(False).eval() if config.beta else None
        self._rewards: list[WeightedReward] = open_rewards(config.rewards)
        self._questions = {split: load_questions(prompts, split) for split in (TRAIN, VALIDATION)}
        self._ids = {
            question.id: render_prompt(question.messages, tokenizer, form)
            for questions in self._questions.values()
            for question in questions
        }
        self._pad_id = form.template.special_id("pad", tokenizer)
        self._per_step = config.batch_size // config.group_size
        self._devices = Devices.of_this_process()
        if self._devices.count > self._per_step:
            raise ConfigError(
                f"Each step has {self._per_step} questions, too few for {self._devices.count} processes",
                where="grpo.batch_size",
                mend="raise grpo.batch_size, lower grpo.group_size, or train with fewer processes.",
            )
        rows = config.micro_batch_size if isinstance(config.micro_batch_size, int) else config.batch_size
        self._answerer = Answerer(tokenizer, form, config.max_tokens, rows)
        self.window = max(map(len, self._ids.values())) + config.max_tokens - 1  # the last token is only predicted
        self.epoch_steps = len(self._questions[TRAIN]) / self._per_step

    def describe(self) -> str:
        """What there is to learn, in a line."""
        train, seen = len(self._questions[TRAIN]), self._config.steps * self._per_step
        return (
            f"{train:,} questions, asked {seen / train:.1f} times, {self._config.group_size} answers each time; "
            f"{len(self._questions[VALIDATION]):,} held back"
        )

    def batch(self, step: int) -> AnswerBatch:
        """This rank's rows of a step's global batch, answered by the model as it is now: [rows, window].

        Raises:
            InputError: a user's reward function fails.
            ConfigError: the model is sharded.
        """
        if any(is_sharded(parameter) for parameter in self._model.parameters()):
            raise ConfigError(
                "GRPO answers with the whole model, which under FSDP2 no process has",
                where="grpo.parallel",
                mend="set grpo.parallel to ddp.",
            )
        mine = rank_rows(self._per_step, self._devices.rank, self._devices.count)
        group = self._config.group_size
        asked = [question for question in self._asked(step, mine) for _ in range(group)]
        seed = order_key(self._seed, "grpo", "answers", step) % SEEDS + mine.start * group
        rollouts = self._answerer.answer(
            self._model, [self._ids[question.id] for question in asked], self._config.temperature, seed
        )
        rewards, each = self._graded(asked, rollouts)
        advantages = group_advantages(rewards.view(-1, group), self._config.scale_rewards).flatten()
        silent = (advantages.view(-1, group) == 0).all(1).repeat_interleave(group)
        batch = AnswerBatch(
            *self._rows(asked, rollouts),
            advantages=advantages.float(),
            figures=self._figures(rewards, each, silent.float(), rollouts),
        )
        return self._with_reference(batch)

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        """The policy's loss summed over the answers' tokens, and sums of what is logged: [1 + 3 + figures].

        Its value is that of the ratio's form, -advantage a token, whose gradient is that of the log-probability.
        """
        assert isinstance(batch, AnswerBatch)
        rows = answered(batch)
        trained = batch.labels != UNTRAINED
        figures = torch.where(rows[:, None], batch.figures, 0.0).sum(0)
        if isinstance(batch, GradedBatch):
            return torch.stack([-figures[0], rows.sum(), trained.sum(), figures.new_tensor(math.nan), *figures])
        ours = self._scores(model, batch)
        loss = -(batch.advantages[:, None] * (ours - ours.detach()).exp() * trained).sum()
        distance = loss.new_zeros(())
        if batch.reference is not None:
            apart = (batch.reference - ours) * trained
            distance = (apart.exp() - apart - 1).sum()
            loss = loss + self._config.beta * distance
        return torch.stack([loss, rows.sum(), trained.sum(), distance.detach(), *figures])

    def measures(self, means: Sequence[float]) -> dict[str, float]:
        """Mean reward and each one's share of it, length in tokens, shares of answers that were cut off and of those
        in groups without a signal, and the distance to the first model in nats a token."""
        rows, tokens, distance, reward, *each, silent, cut = means
        shares = zip(self._rewards, each, strict=True)
        found = {"reward": reward / rows}
        found |= {f"reward/{one.name}": mean / rows for one, mean in shares} if len(each) > 1 else {}
        found |= {"length": tokens / rows, "cut": cut / rows, "without_signal": silent / rows}
        found |= {"kl": distance / tokens} if self._reference is not None else {}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def facts(self, first: int, count: int) -> dict[str, float]:
        """Nothing that is known without answering."""
        return {}

    def validation(self, rows: int) -> Iterator[GradedBatch]:
        """Held-back questions, evenly spread, each with the most likely answer; the last batch is filled up.

        Of batches that are another rank's only the shape is made.
        """
        questions = self._held_back(self._config.validation_windows)
        for number, first in enumerate(range(0, len(questions), rows)):
            mine = number % self._devices.count == self._devices.rank
            yield self._examination(questions[first : first + rows] if mine else []).filled(rows)

    def sample(self, model: Transformer, step: int) -> list[Sample]:
        """A few held-back questions with the model's most likely answers and their rewards: a sampler for the loop."""
        questions = self._held_back(SHOWN)
        rollouts = self._answerer.answer(model, [self._ids[question.id] for question in questions], 0.0)
        rewards, _ = self._graded(questions, rollouts)
        texts = [f"{one.text} (reward {value:g})" for one, value in zip(rollouts, rewards.tolist(), strict=True)]
        return [Sample(question.messages[-1].content, text) for question, text in zip(questions, texts, strict=True)]

    # --- the parts of a batch ----------------------------------------------------------------------------------------

    def _asked(self, step: int, mine: range) -> list[Question]:
        """This rank's questions of a step: each epoch has every question once, in an order of its own."""
        questions, first = self._questions[TRAIN], step * self._per_step
        samples = range(first + mine.start, first + mine.stop)
        return [questions[place] for place in visited(samples, len(questions), self._seed, "grpo")]

    def _held_back(self, most: int) -> list[Question]:
        questions = self._questions[VALIDATION]
        return [questions[place] for place in spread(most, len(questions))]

    def _examination(self, questions: Sequence[Question]) -> GradedBatch:
        rollouts = self._answerer.answer(self._model, [self._ids[question.id] for question in questions], 0.0)
        rewards, each = self._graded(questions, rollouts)
        unknown = torch.full_like(rewards, math.nan)
        return GradedBatch(
            *self._rows(questions, rollouts),
            advantages=torch.zeros(len(rewards)),
            figures=self._figures(rewards, each, unknown, rollouts),
        )

    def _graded(self, questions: Sequence[Question], rollouts: Sequence[Rollout]) -> tuple[Tensor, Tensor]:
        """The whole reward of each answer [B] and the single ones [B, rewards], float64."""
        given = [
            [reward(question, rollout.text) for reward in self._rewards]
            for question, rollout in zip(questions, rollouts, strict=True)
        ]
        each = torch.tensor(given, dtype=torch.float64).view(len(questions), len(self._rewards))
        weights = torch.tensor([reward.weight for reward in self._rewards], dtype=torch.float64)
        return each @ weights, each

    def _figures(self, rewards: Tensor, each: Tensor, silent: Tensor, rollouts: Sequence[Rollout]) -> Tensor:
        cut = torch.tensor([float(rollout.cut) for rollout in rollouts])
        return torch.column_stack([rewards, each, silent, cut]).float()

    def _rows(self, questions: Sequence[Question], rollouts: Sequence[Rollout]) -> tuple[Tensor, Tensor]:
        """Ids and labels, [B, window] each."""
        shape = (len(questions), self.window)
        ids, labels = torch.full(shape, self._pad_id), torch.full(shape, UNTRAINED)
        for row, (question, rollout) in enumerate(zip(questions, rollouts, strict=True)):
            prompt = self._ids[question.id]
            whole = torch.tensor([*prompt, *rollout.ids])
            ids[row, : len(whole) - 1] = whole[:-1]
            labels[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
        return ids, labels

    def _scores(self, model: Transformer, batch: Batch) -> Tensor:
        """Log-probabilities of the labels at the temperature the answers were drawn with, [B, T]."""
        features = model.features(batch.ids) / self._config.temperature
        return token_log_probabilities(features, model.output_weight, batch.labels)

    @torch.no_grad()
    def _with_reference(self, batch: AnswerBatch) -> AnswerBatch:
        if self._reference is None:
            return batch
        device = self._model.output_weight.device
        self._reference.to(device).activation_dtype = self._model.activation_dtype
        rows = self._config.micro_batch_size
        parts = batch.split(rows if isinstance(rows, int) else None)
        scores = [self._scores(self._reference, part.to(device)) for part in parts]
        return replace(batch, reference=torch.cat(scores))
