"""The tiny tokenizer, dataset and model, for this folder's tests."""

from tiny_chat import data, dataset, model, tokenizer, tokenizer_artifact

__all__ = ["data", "dataset", "model", "tokenizer", "tokenizer_artifact"]
