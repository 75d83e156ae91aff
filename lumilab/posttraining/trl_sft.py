"""Supervised fine-tuning for TRL's SFTTrainer: our conversations, as the ids and masks that our renderer made.

A row of the dataset is a training window of ours, and the collator makes of a batch of windows the conversations in
them, a row each, padded. So every step trains on the same tokens as our own loop does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from lumilab.posttraining.template import Rendered
from lumilab.posttraining.with_trl import MakeTrainer, packages
from lumilab.recipe.finetuning import FinetuningConfig
from lumilab.training.objective import UNTRAINED


def sft_trainer(
    conversations: Callable[[range], Iterator[list[Rendered]]], config: FinetuningConfig, pad_id: int
) -> MakeTrainer:
    """Makes an SFTTrainer.

    Args:
        conversations: gives those of the run's windows, by their numbers.
        config: how many windows there are in a step, and steps.
        pad_id: fills up what is shorter.
    """

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        windows = (conversations(range(row["window"], row["window"] + 1)) for row in rows)
        return padded([one for found in windows for window in found for one in window], pad_id)

    def make(model: Any, tokenizer: Any, values: dict[str, Any], more: dict[str, Any]) -> Any:
        trl, datasets = packages()
        return trl.SFTTrainer(
            model=model,
            args=trl.SFTConfig(**values, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=datasets.Dataset.from_dict({"window": range(config.steps * config.batch_size)}),
            data_collator=collate,
            processing_class=tokenizer,
            **more,
        )

    return make


def padded(conversations: list[Rendered], pad_id: int) -> dict[str, Any]:
    """A batch as transformers takes it: int64 `input_ids`, `attention_mask` and `labels`, [conversations, longest]."""
    ids = [torch.tensor(one.ids) for one in conversations]
    trained = [torch.tensor(one.trained) for one in conversations]
    labels = [torch.where(mask, tokens, UNTRAINED) for tokens, mask in zip(ids, trained, strict=True)]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence([torch.ones_like(tokens) for tokens in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=UNTRAINED),
    }
