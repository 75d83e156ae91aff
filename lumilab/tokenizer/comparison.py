"""Two tokenizers side by side: what their vocabularies share, and how they cut the same text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lumilab.tokenizer.load import Tokenizer

SHOWN = 10


def compare_tokenizers(a: Tokenizer, b: Tokenizer, texts: Sequence[str]) -> dict[str, Any]:
    """What differs, as JSON values.

    Args:
        a, b: the tokenizers.
        texts: what both encode.
    """
    tokens_a, tokens_b = _tokens(a), _tokens(b)
    shared = tokens_a.keys() & tokens_b.keys()
    size = sum(len(text.encode()) for text in texts)
    ids_a, ids_b = (each.encode_arrays(texts) for each in (a, b))
    return {
        "identical": a.identity == b.identity,
        "a": _side(a, ids_a, size),
        "b": _side(b, ids_b, size),
        "tokens": {
            "shared": len(shared),
            "same_id": sum(tokens_a[token] == tokens_b[token] for token in shared),
            "only_a": len(tokens_a) - len(shared),
            "only_b": len(tokens_b) - len(shared),
            "longest_only_a": _longest(tokens_a.keys() - shared),
            "longest_only_b": _longest(tokens_b.keys() - shared),
        },
        "texts": {
            "count": len(texts),
            "bytes": size,
            "same_ids": sum(len(x) == len(y) and bool((x == y).all()) for x, y in zip(ids_a, ids_b, strict=True)),
        },
    }


def _side(tokenizer: Tokenizer, ids: Sequence[Any], size: int) -> dict[str, Any]:
    count = sum(map(len, ids))
    return {
        "identity": tokenizer.identity,
        "vocabulary_size": tokenizer.vocabulary_size,
        "roles": tokenizer.roles,
        "tokens": count,
        "bytes_per_token": round(size / count, 4) if count else None,
    }


def _tokens(tokenizer: Tokenizer) -> dict[bytes, int]:
    """The id of each token by its bytes; special tokens, which have none, by their names."""
    found = {tokenizer.token_bytes(token): token for token in range(tokenizer.vocabulary_size)}
    found.pop(b"", None)
    return found | {name.encode(): token for token, name in tokenizer.special_names.items()}


def _longest(tokens: set[bytes]) -> list[str]:
    longest = sorted(tokens, key=lambda token: (-len(token), token))[:SHOWN]
    return [token.decode("utf-8", "backslashreplace") for token in longest]
