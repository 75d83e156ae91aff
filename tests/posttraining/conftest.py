"""The tiny tokenizer, dataset, model, conversations and base model, for this folder's tests."""

from tiny_chat import data, dataset, model, tokenizer, tokenizer_artifact
from tiny_sft import base, conversations

__all__ = ["base", "conversations", "data", "dataset", "model", "tokenizer", "tokenizer_artifact"]
