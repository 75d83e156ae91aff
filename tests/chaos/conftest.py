"""A model for the server that a crowd comes to."""

from tiny_chat import data, tokenizer, tokenizer_artifact
from tiny_talkers import babbler

__all__ = ["babbler", "data", "tokenizer", "tokenizer_artifact"]
