"""The tiny tokenizer, the two talkers and a live server with both, for this folder's tests."""

from tiny_chat import data, tokenizer, tokenizer_artifact
from tiny_talkers import babbler, live, talker

__all__ = ["babbler", "data", "live", "talker", "tokenizer", "tokenizer_artifact"]
