"""A tiny tokenizer and dataset, as for the rooms below."""

from tiny_chat import data, tokenizer, tokenizer_artifact

__all__ = ["data", "tokenizer", "tokenizer_artifact"]
