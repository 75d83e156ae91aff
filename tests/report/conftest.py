"""The tiny tokenizer, for this folder's tests."""

from tiny_chat import data, tokenizer, tokenizer_artifact

__all__ = ["data", "tokenizer", "tokenizer_artifact"]
