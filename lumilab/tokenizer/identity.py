"""What makes two tokenizers the same: one canonical form of `tokenizer.json`, and its SHA-256.

The canonical form keeps everything that decides which ids a text becomes (vocabulary, merges, added tokens,
normaliser, pre-tokenizer, decoder) and leaves out what does not: the file's layout and order of keys, the library's
version mark, and the truncation and padding that some tools save along with a tokenizer. Merges are pairs here,
whether the file writes them as pairs or, as older files do, as one string with a space.
"""

from __future__ import annotations

from typing import Any

from lumilab.artifact import digest_of

NOT_IDENTITY = ("version", "truncation", "padding")


def canonical_form(definition: dict[str, Any]) -> dict[str, Any]:
    """The parts of a parsed `tokenizer.json` that are identity, each written in one way."""
    kept = {name: value for name, value in definition.items() if name not in NOT_IDENTITY}
    merges = kept["model"].get("merges")
    if merges is not None:
        pairs = [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in merges]
        kept["model"] = kept["model"] | {"merges": pairs}
    return kept


def identity_of(definition: dict[str, Any]) -> str:
    """SHA-256 (hex) of the canonical form."""
    return digest_of(canonical_form(definition))
