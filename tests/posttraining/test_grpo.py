"""GRPO: advantages and loss by hand and against TRL's formula, what is sampled, resuming, and that it learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_chat import MODEL, another_tokenizer, publish_model, tiny_model
from tiny_corpus import quiet_context
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.errors import InputError, MismatchError
from lumilab.model import Transformer
from lumilab.posttraining.grpo import AnswerBatch, GroupRelative, group_advantages
from lumilab.posttraining.prompts import build_prompts, load_questions
from lumilab.posttraining.reinforcement import grpo, reward_curve
from lumilab.posttraining.templates import DEFAULT
from lumilab.recipe.conversations import ArithmeticConversations, ColumnsConversations
from lumilab.recipe.grpo import GrpoConfig, PromptsConfig, RewardConfig
from lumilab.recipe.training import OptimizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.objective import UNTRAINED
from lumilab.training.run import Sample

CONFIG = GrpoConfig(
    steps=6,
    batch_size=12,
    group_size=4,
    max_tokens=5,
    rewards=[RewardConfig(function="format", pattern=r"[^0-9]*")],
    dtype="float32",
    device="cpu",
    compile="no",
    optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=0.0),
    validate_every=3,
    validation_windows=5,
    checkpoint_every=2,
    log_every=1,
)


def changed(**values: Any) -> GrpoConfig:
    return GrpoConfig.model_validate(CONFIG.model_dump() | values)


@pytest.fixture(scope="module")
def prompts(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    config = PromptsConfig(sources=[ArithmeticConversations(lowest=0, highest=5)], validation_share=0.3)
    target = tmp_path_factory.mktemp("prompts") / "out"
    return build_prompts(config, DEFAULT, 100, 1, tokenizer_artifact, target, quiet_context()[0])


@pytest.fixture(scope="module")
def base(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    # Weights as small as those of a new model: its answers differ, as a policy's have to.
    known = Tokenizer.load(tokenizer_artifact.path)
    model = tiny_model(known)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.div_(5)
    return publish_model(tmp_path_factory.mktemp("base") / "final", tokenizer_artifact, model)


def objective_of(base: Artifact, prompts: Artifact, tokenizer: Tokenizer, config: GrpoConfig = CONFIG) -> GroupRelative:
    return GroupRelative(load_model(base).model, prompts, tokenizer, DEFAULT, config, 5)


# --- by hand -----------------------------------------------------------------------------------------------------


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.1, 0.1, 0.1, 0.1], [3.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.5, -0.5, -0.5, 0.5], [0.0] * 4, [2.25, -0.75, -0.75, -0.75]])
    torch.testing.assert_close(group_advantages(rewards), expected, rtol=0, atol=0)
    deviations = torch.tensor([3**-0.5, 0.0, 1.5])[:, None]  # of samples: divided by n - 1
    torch.testing.assert_close(group_advantages(rewards, scale=True), expected / (deviations + 1e-4))
    assert not group_advantages(torch.full((1, 3), 0.1, dtype=torch.float64), scale=True).any()


def policy_batch(model: Transformer, window: int = 9) -> AnswerBatch:
    """Six answers of two groups, of different lengths behind questions of different lengths; a row that fills up."""
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(0, model.vocabulary_size, (7, window), generator=draw)
    labels = torch.full_like(ids, UNTRAINED)
    for row, (start, end) in enumerate([(2, 5), (2, 9), (2, 3), (4, 8), (4, 5), (4, 9)]):
        labels[row, start:end] = torch.randint(0, model.vocabulary_size, (end - start,), generator=draw)
    rewards = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0]])
    advantages = torch.cat([group_advantages(rewards).flatten(), torch.tensor([9.0])])
    return AnswerBatch(ids, labels, advantages=advantages, figures=torch.ones(7, 4))


def trl_loss(
    model: Transformer, batch: AnswerBatch, temperature: float, beta: float, reference: Tensor | None
) -> Tensor:
    """TRL's GRPO loss (`loss_type="dapo"`), as its trainer computes it from log-probabilities, on the plain logits."""
    logits = model(batch.ids).float() / temperature
    logps = logits.log_softmax(-1).gather(-1, batch.labels.clamp_min(0)[..., None])[..., 0]
    mask = (batch.labels != UNTRAINED).float()
    ratio = torch.exp(logps - logps.detach())
    clipped = torch.clamp(ratio, 1 - 0.2, 1 + 0.2)
    advantages = batch.advantages[:, None]
    per_token = -torch.min(ratio * advantages, clipped * advantages)
    if reference is not None:
        per_token = per_token + beta * (torch.exp(reference - logps) - (reference - logps) - 1)
    return (per_token * mask).sum() / mask.sum()


@pytest.mark.parametrize(("temperature", "beta"), [(1.0, 0.0), (0.7, 0.0), (1.3, 0.5)])
def test_loss_and_gradient_are_those_of_trl(
    temperature: float, beta: float, base: Artifact, prompts: Artifact, tokenizer: Tokenizer
) -> None:
    config = changed(temperature=temperature, beta=beta)
    objective = objective_of(base, prompts, tokenizer, config)
    model, other = tiny_model(tokenizer), tiny_model(tokenizer, seed=4)
    batch, reference = policy_batch(model), None
    if beta:
        logits = other(batch.ids).float() / temperature
        reference = logits.log_softmax(-1).gather(-1, batch.labels.clamp_min(0)[..., None])[..., 0].detach()
        batch = replace(batch, reference=torch.where(batch.labels == UNTRAINED, 0.0, reference))
    theirs = trl_loss(model, batch, temperature, beta, reference)
    expected = torch.autograd.grad(theirs, list(model.parameters()))
    sums = objective.loss(model, batch)
    ours = sums[0] / batch.divisor()
    torch.testing.assert_close(ours, theirs)
    for mine, other_ in zip(torch.autograd.grad(ours, list(model.parameters())), expected, strict=True):
        torch.testing.assert_close(mine, other_, rtol=1e-4, atol=1e-6)
    assert sums[1:3].tolist() == [6, int((batch.labels != UNTRAINED).sum())]  # the row that fills up does not count


def test_a_step_is_the_same_in_micro_batches(base: Artifact, prompts: Artifact, tokenizer: Tokenizer) -> None:
    objective, model = objective_of(base, prompts, tokenizer), tiny_model(tokenizer)
    batch = policy_batch(model)
    parts = torch.stack([objective.loss(model, part) for part in batch.split(2)]).sum(0)
    torch.testing.assert_close(parts, objective.loss(model, batch))


# --- what is sampled ---------------------------------------------------------------------------------------------


def test_a_batch_is_questions_with_their_own_answers(base: Artifact, prompts: Artifact, tokenizer: Tokenizer) -> None:
    objective = objective_of(base, prompts, tokenizer)
    batch = objective.batch(0)
    assert batch.ids.shape == (12, objective.window)
    texts = {question.id: question for question in load_questions(prompts, "train")}
    for row in range(12):
        places = (batch.labels[row] != UNTRAINED).nonzero()[:, 0].tolist()
        assert places == list(range(places[0], places[-1] + 1)) and 1 <= len(places) <= CONFIG.max_tokens
        assert batch.ids[row, places[0] + 1 : places[-1] + 1].tolist() == batch.labels[row, places[:-1]].tolist()
        prompt = tokenizer.decode(batch.ids[row, : places[0] + 1].tolist())
        assert any(question.messages[0].content in prompt for question in texts.values())
        ended = batch.labels[row, places[-1]] == tokenizer.im_end_id
        assert ended == (batch.figures[row, -1] == 0)  # else it was cut off
        assert ended or len(places) == CONFIG.max_tokens
    answers = batch.labels.view(3, 4, -1)
    assert all(len({tuple(row.tolist()) for row in group}) > 1 for group in answers)
    assert torch.equal(batch.advantages, group_advantages(batch.figures[:, 0].view(3, 4)).flatten())


def test_answers_are_a_function_of_seed_step_and_weights(
    base: Artifact, prompts: Artifact, tokenizer: Tokenizer
) -> None:
    first, second = objective_of(base, prompts, tokenizer), objective_of(base, prompts, tokenizer)
    second.batch(0)
    assert torch.equal(first.batch(3).labels, second.batch(3).labels)
    assert not torch.equal(first.batch(3).labels, first.batch(4).labels)


def test_the_model_that_answers_is_the_model_that_is_trained(
    base: Artifact, prompts: Artifact, tokenizer: Tokenizer
) -> None:
    """With the cache of generation and without it its most likely tokens are one: else it would not be on policy."""
    model = load_model(base).model
    for batch in objective_of(base, prompts, tokenizer).validation(3):
        trained = batch.labels != UNTRAINED
        assert torch.equal(model(batch.ids).argmax(-1)[trained], batch.labels[trained])


def test_measures_and_validation_are_means_over_answers(
    base: Artifact, prompts: Artifact, tokenizer: Tokenizer
) -> None:
    rewards = [RewardConfig(function="format", pattern=".*", weight=0.5), RewardConfig()]
    objective = objective_of(base, prompts, tokenizer, changed(rewards=rewards))
    model = load_model(base).model
    batches = list(objective.validation(3))
    assert [tuple(batch.ids.shape) for batch in batches] == [(3, objective.window)] * 2  # 5 questions in rows of 3
    sums = torch.stack([objective.loss(model, batch) for batch in batches]).sum(0)
    count = sum(int(batch.divisor()) for batch in batches)
    loss, *means = (sums / count).tolist()
    measures = objective.measures(means)
    assert count == 5
    assert measures["reward/format"] == 1.0
    assert measures["reward"] == -loss == 0.5 + measures["reward/answer"]
    assert measures.keys() == {"reward", "reward/format", "reward/answer", "length", "cut"}
    step = objective.loss(model, objective.batch(0)).detach()
    told = objective.measures((step[1:] / objective.batch(0).divisor()).tolist())
    assert told["reward/format"] == 1.0
    assert told["without_signal"] in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)


# --- the stage ---------------------------------------------------------------------------------------------------


def run(
    target: Path, base: Artifact, prompts: Artifact, tokenizer: Artifact, config: GrpoConfig = CONFIG, **more: Any
) -> Artifact:
    return grpo(config, 5, base, prompts, tokenizer, target, quiet_context()[0], **more)


def test_it_learns_what_is_rewarded(
    base: Artifact, prompts: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    """Hardly an answer of an untrained model begins with a space; soon most do."""
    config = changed(
        steps=40,
        batch_size=64,
        group_size=16,
        max_tokens=3,
        rewards=[RewardConfig(function="format", pattern=r"[a-m].*")],
        optimizer={"learning_rate": 0.01, "weight_decay": 0.0},
        validate_every=40,
    )
    context, said = quiet_context()
    done = grpo(config, 5, base, prompts, tokenizer_artifact, tmp_path / "final", context)
    assert done.manifest.config["stage"] == "grpo"
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    rewards = [line["reward"] for line in log if line["event"] == "step"]
    assert sum(rewards[:5]) / 5 < 0.6 and sum(rewards[-5:]) / 5 > 0.9
    (first, _), (last, after) = reward_curve(tmp_path)
    assert (first, last) == (0, 40) and after == 1.0
    assert "before, 1.000 after 40 steps" in said.getvalue()


def test_steps_without_a_signal_are_steps(
    base: Artifact, prompts: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    config = changed(steps=2, rewards=[RewardConfig(function="format", pattern="never")], validate_every=1)
    done = run(tmp_path / "final", base, prompts, tokenizer_artifact, config)
    assert done.manifest.statistics["step"] == 2 and done.manifest.statistics["skipped"] == 0
    ours, theirs = (load_model(artifact).model.state_dict() for artifact in (done, base))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"beta": 0.1, "scale_rewards": True, "micro_batch_size": 4, "publish": "best"},
        {"beta": 0.1, "adapter": {"rank": 4}},
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(
    more: dict[str, Any], base: Artifact, prompts: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    config = changed(**more)
    whole = run(tmp_path / "whole" / "final", base, prompts, tokenizer_artifact, config)
    context, _ = quiet_context()

    def stop_at_four(model: Transformer, step: int) -> list[Sample]:
        if step == 4:
            context.stop.request(2)
        return []

    target = tmp_path / "parts" / "final"
    stopping = config.model_copy(update={"sample_every": 1})
    with pytest.raises(BaseException, match="Stopped"):
        grpo(stopping, 5, base, prompts, tokenizer_artifact, target, context, sampler=stop_at_four)
    assert run(target, base, prompts, tokenizer_artifact, config).digest == whole.digest


def test_samples_are_held_back_questions_with_their_rewards(
    base: Artifact, prompts: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    run(tmp_path / "final", base, prompts, tokenizer_artifact, changed(steps=2, sample_every=2))
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    samples = [line for line in log if line["event"] == "sample"]
    held_back = {question.messages[0].content for question in load_questions(prompts, "validation")}
    assert len(samples) == 3
    assert all(sample["prompt"] in held_back and "(reward " in sample["text"] for sample in samples)


def test_what_does_not_belong_together_is_refused(
    base: Artifact, prompts: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match="prompts"):
        run(tmp_path / "final", base, prompts, another_tokenizer(tmp_path))
    with pytest.raises(MismatchError, match=f"context is {MODEL.context}"):
        run(tmp_path / "final", base, prompts, tokenizer_artifact, changed(max_tokens=125))


# --- the questions -----------------------------------------------------------------------------------------------


def test_exercises_are_distinct_and_right(prompts: Artifact) -> None:
    questions = [question for split in ("train", "validation") for question in load_questions(prompts, split)]
    assert len({question.id for question in questions}) == len(questions) == 36
    assert all(eval(question.messages[0].content.rstrip(" =")) == int(question.answer) for question in questions)
    assert {question.row["answer"] for question in questions} == {str(number) for number in range(11)}


def test_questions_of_files_are_split_counted_and_quarantined(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    rows = [{"question": f"river {number}?", "answer": f"#### {number}"} for number in range(40)]
    rows += [{"question": "", "answer": "1"}, {"question": "bridge " * 200, "answer": "2"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = ColumnsConversations(paths=[str(tmp_path / "rows.jsonl")])
    config = PromptsConfig(sources=[source], validation_share=0.3)
    context, said = quiet_context()
    made = build_prompts(config, DEFAULT, 60, 1, tokenizer_artifact, tmp_path / "out", context)
    train, validation = (load_questions(made, split) for split in ("train", "validation"))
    assert len(train) + len(validation) == 40 and train and validation
    assert all(question.row["answer"] == question.answer for question in train)
    assert "1 empty content" in said.getvalue() and "1 prompt longer than 60 tokens" in said.getvalue()
    assert '"line":41' in made.file("quarantine.jsonl").read_text()
    with pytest.raises(InputError, match="no questions held back"):
        build_prompts(config.model_copy(update={"limit": 2, "validation_share": 0.01}), DEFAULT, 60, 1,
                      tokenizer_artifact, tmp_path / "few", quiet_context()[0])  # fmt: skip
