"""Preference training for TRL's DPOTrainer: our pairs, as the ids and masks that our renderer made, in our order.

TRL computes the reference's log-probabilities itself: with the model of the beginning, or with the adapter switched
off. Ours are there all the same, as the validation is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lumilab.posttraining.template import Rendered
from lumilab.posttraining.trl_sft import padded
from lumilab.posttraining.with_trl import MakeTrainer, packages
from lumilab.recipe.preference import PreferenceConfig
from lumilab.training.objective import UNTRAINED

LOSSES = {"dpo": "sigmoid", "ipo": "ipo"}  # TRL's names of them


def preference_trainer(
    pairs: Callable[[range], Iterator[tuple[Rendered, Rendered]]], config: PreferenceConfig, pad_id: int
) -> MakeTrainer:
    """Makes a DPOTrainer.

    Args:
        pairs: gives the good and the bad answers, each behind its prompt, of the run's rows, by their numbers.
        config: the loss, how many rows there are in a step, and steps.
        pad_id: fills up what is shorter.
    """

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        found = [pair for row in rows for pair in pairs(range(row["row"], row["row"] + 1))]
        batch = padded([good for good, _ in found] + [bad for _, bad in found], pad_id)
        answers = batch.pop("labels") != UNTRAINED
        return {**batch, "completion_mask": answers.long()}

    def make(model: Any, tokenizer: Any, values: dict[str, Any], more: dict[str, Any]) -> Any:
        trl, datasets = packages()

        class Trainer(trl.DPOTrainer):  # type: ignore[misc,name-defined]  # the package is imported only here
            """TRL's, on data that is prepared."""

            def _prepare_dataset(self, dataset: Any, *others: Any) -> Any:
                return dataset

        return Trainer(
            model=model,
            args=trl.DPOConfig(**values, beta=config.beta, loss_type=[LOSSES[config.objective]], max_length=None),
            train_dataset=datasets.Dataset.from_dict({"row": range(config.steps * config.batch_size)}),
            data_collator=collate,
            processing_class=tokenizer,
            **more,
        )

    return make
