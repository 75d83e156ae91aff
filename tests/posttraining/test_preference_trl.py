"""TRL on our exported model and our pairs: the same losses and rewards as ours, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from tiny_chat import publish_model
from tiny_corpus import quiet_context
from tiny_pairs import SEED, changed, judged, pair, publish_pairs
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.orpo import ORPOTrainer

from lumilab.artifact import Artifact
from lumilab.posttraining.adapters import adapter_files, add_adapter
from lumilab.posttraining.comparisons import ComparedBatch
from lumilab.posttraining.examples import Examples
from lumilab.posttraining.preference import Preferences, preference
from lumilab.posttraining.preference_losses import Scores, orpo
from lumilab.posttraining.visits import visited
from lumilab.recipe.preference import PreferenceConfig
from lumilab.training.checkpoint import load_model
from lumilab.training.objective import UNTRAINED

STEPS, PAIRS = 10, 4
TRAINING = {
    "steps": STEPS,
    "batch_size": PAIRS,
    "beta": 0.3,
    "spike_sigmas": 0.0,
    "schedule": {"name": "constant", "warmup": 0.0},
    "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0},
}
THEIR_CONFIG = {
    "beta": 0.3,
    "per_device_train_batch_size": PAIRS,
    "max_steps": STEPS,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "max_length": None,
    "logging_steps": 1,
    "report_to": "none",
    "save_strategy": "no",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "remove_unused_columns": False,
}


class Theirs(DPOTrainer):  # type: ignore[misc]
    """TRL's trainer on token ids, in the order in which they come."""

    def _prepare_dataset(self, dataset: Any, *more: Any) -> Any:
        return dataset

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


@pytest.fixture(scope="module")
def base(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_model(tmp_path_factory.mktemp("base") / "final", tokenizer_artifact)


@pytest.fixture(scope="module")
def pairs(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_pairs(tmp_path_factory.mktemp("pairs"), tokenizer_artifact, [pair(number) for number in range(40)])


def in_our_order(pairs: Artifact) -> Dataset:
    """The token ids of the pairs as our run will meet them, cut where the answers begin and end."""
    examples = Examples.open(pairs, "train")
    rows = []
    for number in visited(range(STEPS * PAIRS), len(examples) // 2, SEED, "preference"):
        good, bad = (examples.rendered(2 * number + side) for side in range(2))
        start = good.trained.index(True)
        answers = [[t for t, flag in zip(each.ids, each.trained, strict=True) if flag] for each in (good, bad)]
        rows.append({"prompt_ids": good.ids[:start], "chosen_ids": answers[0], "rejected_ids": answers[1]})
    return Dataset.from_list(rows)


def events(checkpoint: Artifact) -> list[dict[str, Any]]:
    lines = (checkpoint.path.parent / "log.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "step"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"objective": "ipo"}, {"loss_type": ["ipo"]}),
        ({"adapter": {"rank": 4, "alpha": 8.0}}, {}),
    ],
    ids=["dpo", "ipo", "adapter"],
)
def test_ten_steps_have_trls_losses_and_rewards(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    base: Artifact,
    pairs: Artifact,
    tokenizer_artifact: Artifact,
    tmp_path: Path,
) -> None:
    config = changed(**TRAINING, **ours)
    target = tmp_path / "preference" / "key" / "final"
    done = preference(config, SEED, base, pairs, tokenizer_artifact, target, quiet_context()[0])
    model: Any = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    trainer = Theirs(
        model=with_our_adapter(model, config, base, tmp_path) if config.adapter else model,
        args=DPOConfig(output_dir=str(tmp_path / "trl"), **THEIR_CONFIG, **theirs),
        train_dataset=in_our_order(pairs),
        processing_class=AutoTokenizer.from_pretrained(base.path),
    )
    trainer.train()
    logged = [line for line in trainer.state.log_history if "rewards/chosen" in line]
    assert len(logged) == STEPS
    for name in ("loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"):
        found, wanted = ([line[name] for line in lines] for lines in (events(done), logged))
        torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("more", [{}, {"objective": "ipo", "adapter": {"rank": 4}}], ids=["dpo", "ipo, adapter"])
def test_trl_as_the_trainer_takes_our_steps(
    more: dict[str, Any], base: Artifact, pairs: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    runs = []
    for trainer in ("lumilab", "trl"):
        config = changed(**TRAINING, **more, trainer=trainer)
        target = tmp_path / trainer / "preference" / "key" / "final"
        runs.append(preference(config, SEED, base, pairs, tokenizer_artifact, target, quiet_context()[0]))
    for name in ("loss", "rewards/margins", "gradient_norm"):
        found, wanted = (torch.tensor([line[name] for line in events(done)]) for done in runs)
        assert len(found) == STEPS
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3, msg=name)
    weights = [load_model(done).model.state_dict() for done in runs]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-3, rtol=1e-3)


def with_our_adapter(model: Any, config: PreferenceConfig, base: Artifact, folder: Path) -> Any:
    """Their model with the adapter that our run begins with."""
    assert config.adapter is not None
    ours = load_model(base).model
    add_adapter(ours, config.adapter, SEED)
    for name, content in adapter_files(ours).items():
        (folder / name).write_bytes(content)
    return PeftModel.from_pretrained(model, folder, is_trainable=True)


def test_ktos_loss_and_rewards_are_trls(base: Artifact, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    rows = [judged(number) for number in range(30)]
    data = publish_pairs(tmp_path / "judged", tokenizer_artifact, rows, verdicts=True)
    config = changed(objective="kto", beta=0.3, good_weight=1.5, bad_weight=0.5, batch_size=6)
    ours = Preferences(data, config, SEED, 0, 128)
    ours.compare_with(load_model(base).model, {"base": base, "pairs": data}, tmp_path, quiet_context()[0])
    batch = ours.batch(0)
    moved = load_model(base).model  # a policy that is not the reference
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.mul_(1.02)
    theirs = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    trainer = TheirKTO(
        model=theirs,
        args=KTOConfig(
            output_dir=str(tmp_path / "trl"), beta=0.3, desirable_weight=1.5, undesirable_weight=0.5, use_cpu=True,
            bf16=False, report_to="none", per_device_train_batch_size=6, max_length=None,
        ),
        train_dataset=Dataset.from_list([{"label": True}]),
        processing_class=AutoTokenizer.from_pretrained(base.path),
    )  # fmt: skip
    theirs.load_state_dict(moved.state_dict(), strict=False)
    wanted = trainer._compute_loss(theirs.train(), their_batch(batch), False).detach()
    found = ours.loss(moved, batch).detach()
    assert float(found[0] / batch.divisor()) == pytest.approx(float(wanted), abs=1e-5)
    measures = ours.measures((found[1:] / batch.divisor()).tolist())
    logged = {name: values[0] for name, values in trainer._metrics["train"].items()}
    for name in ("rewards/chosen", "rewards/rejected"):
        assert measures[name] == pytest.approx(logged[name], abs=1e-4)


class TheirKTO(KTOTrainer):  # type: ignore[misc]
    """TRL's trainer without its own rendering."""

    def _prepare_dataset(self, dataset: Any, *more: Any) -> Any:
        return dataset


def their_batch(batch: ComparedBatch) -> dict[str, torch.Tensor]:
    """Our rows as TRL's collator gives them: whole sequences, and masks of the answers."""
    made: dict[str, torch.Tensor] = {"label": batch.good}
    for side, mark in enumerate(("", "KL_")):
        ids, labels = batch.ids[:, side], batch.labels[:, side]
        answer = torch.cat((torch.zeros_like(labels[:, :1], dtype=torch.bool), labels != UNTRAINED), 1)
        whole = torch.cat((ids, ids[:, -1:]), 1)
        whole[answer] = labels[labels != UNTRAINED]
        made |= {
            f"{mark}input_ids": whole,
            f"{mark}attention_mask": torch.ones_like(whole),
            f"{mark}completion_mask": answer.long(),
        }
    return made


def test_orpos_odds_are_trls() -> None:
    draw = torch.Generator().manual_seed(0)
    policy, tokens = -10 * torch.rand((7, 2), generator=draw), torch.tensor([[3, 5]] * 7)
    flags = torch.ones(7, dtype=torch.bool)
    found = orpo(Scores(policy, torch.zeros(7, 2), tokens, flags, flags), changed(objective="orpo", beta=0.3))
    means = policy / tokens
    them = SimpleNamespace(beta=0.3, accelerator=SimpleNamespace(device="cpu"))
    losses, chosen, rejected, *_ = ORPOTrainer.odds_ratio_loss(them, means[:, 0], means[:, 1])
    # Their cross-entropy is of the prompt's tokens too, and a mean over all of a batch; ours is the answer's mean.
    torch.testing.assert_close(found.losses + means[:, 0], -losses)
    torch.testing.assert_close(found.rewards, torch.stack((chosen, rejected), 1))
