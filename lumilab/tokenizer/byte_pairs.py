"""Byte-pair vocabularies in other files than `tokenizer.json`: vocabulary and merges apart, and tiktoken's ranks.

OpenAI's GPT-2 (Radford et al. 2019) came as `encoder.json` and `vocab.bpe`, which others call `vocab.json` and
`merges.txt`. tiktoken keeps one file of lines "token in base64, rank", the rank being both the id and the order of
merging: of all neighbours, the two are joined whose union has the lowest rank. Every way to part a token in two tokens
is therefore a merge, in the order of the ranks, and a word that is a token is that token (`ignore_merges`). How text is
cut into words is in none of these files but in the code of their makers; it is known here for the encodings that were
published, by the file's name or by its number of ranks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lumilab.errors import InputError
from lumilab.tokenizer.byte_level import token_of_bytes
from lumilab.tokenizer.sentencepiece_model import added_token

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

END = "<|endoftext|>"


@dataclass(frozen=True)
class Encoding:
    """What tiktoken's rank files leave to code.

    Attributes:
        names: beginnings of the files' names.
        ranks: how many there are.
        pattern: cuts text into words.
        special: ids of special tokens.
    """

    names: tuple[str, ...]
    ranks: int
    pattern: str
    special: Mapping[str, int]


FILL_IN = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
ENCODINGS: Sequence[Encoding] = (
    Encoding(("r50k_base", "gpt2"), 50_256, GPT2_PATTERN, {END: 50_256}),
    Encoding(("p50k_base",), 50_280, GPT2_PATTERN, {END: 50_256}),
    Encoding(
        ("cl100k_base",),
        100_256,
        CL100K_PATTERN,
        {END: 100_257, **{name: 100_258 + place for place, name in enumerate(FILL_IN)}, "<|endofprompt|>": 100_276},
    ),
    Encoding(("o200k_base",), 199_998, O200K_PATTERN, {END: 199_999, "<|endofprompt|>": 200_018}),
    Encoding(
        ("qwen",), 151_643, QWEN2_PATTERN, {END: 151_643, "<|im_start|>": 151_644, "<|im_end|>": 151_645}
    ),
)  # fmt: skip


def from_vocabulary(vocabulary: bytes, merges: bytes, pattern: str, where: str) -> dict[str, Any]:
    """The parsed `tokenizer.json` of a vocabulary and its merges.

    Args:
        vocabulary: JSON, ids by token in the byte alphabet.
        merges: a line per merge, the two tokens parted by a space; a first line may give a version.
        pattern: cuts text into words.
        where: the file, for messages.

    Raises:
        InputError: they are not what they should be.
    """
    try:
        ids = {str(token): int(number) for token, number in json.loads(vocabulary).items()}
        lines = merges.decode().split("\n")
        pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    except (ValueError, AttributeError, TypeError):
        raise InputError("This is no vocabulary with merges: JSON and lines of pairs", where=where) from None
    wrong = next((pair for pair in pairs if len(pair) != 2 or not {*pair, "".join(pair)} <= ids.keys()), None)
    if wrong is not None:
        raise InputError(
            f"The merge {' '.join(wrong)!r} does not join two tokens of the vocabulary to a third",
            where=where,
            mend="give merges and vocabulary of one byte-level tokenizer (not one with end-of-word marks).",
        )
    special = {END: ids[END]} if END in ids else {}
    return _definition(ids, pairs, pattern, special, ignore_merges=False)


def from_ranks(data: bytes, file_name: str, where: str) -> dict[str, Any]:
    """The parsed `tokenizer.json` of a file of tiktoken's ranks.

    Args:
        data: the file's content.
        file_name: its name, which says which encoding it is.
        where: the file, for messages.

    Raises:
        InputError: it is none, or of an encoding whose words are not known.
    """
    try:
        lines = [line.split() for line in data.splitlines() if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except ValueError:
        raise InputError("This is not a file of tiktoken's ranks: base64, a space and a number", where=where) from None
    named = (each for each in ENCODINGS if file_name.lower().startswith(each.names) or each.ranks == len(ranks))
    encoding = next(named, None)
    if encoding is None:
        known = ", ".join(name for each in ENCODINGS for name in each.names)
        raise InputError(
            f"A file of ranks does not say how text is cut into words, and neither its name nor its {len(ranks):,} "
            "ranks are known here",
            where=where,
            mend=f"name the file after its encoding ({known}), or give its tokenizer.json.",
        )
    ids = {token_of_bytes(token): rank for token, rank in ranks.items()}
    pairs = [[token_of_bytes(left), token_of_bytes(right)] for left, right in _merges(ranks)]
    return _definition(ids, pairs, encoding.pattern, encoding.special, ignore_merges=True)


def byte_level_definition(
    ids: Mapping[str, int], merges: Sequence[Sequence[str]], pattern: str, special: Mapping[str, int]
) -> dict[str, Any]:
    """A parsed `tokenizer.json` of byte-level byte-pair encoding.

    Args:
        ids: by token in the byte alphabet; special tokens may be among them.
        merges: pairs of tokens in the order of merging.
        pattern: cuts text into words.
        special: ids of special tokens.
    """
    return _definition(ids, merges, pattern, special, ignore_merges=False)


def _definition(
    ids: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    pattern: str,
    special: Mapping[str, int],
    *,
    ignore_merges: bool,
) -> dict[str, Any]:
    # GPT-2's pattern is the one that the byte-level pre-tokenizer itself has.
    built_in = pattern == GPT2_PATTERN
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": built_in}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(token, name, special=True) for name, token in special.items()],
        "normalizer": None,
        "pre_tokenizer": level if built_in else {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": ignore_merges,
            "vocab": dict(ids),
            "merges": [list(pair) for pair in merges],
        },
    }


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    for token, _ in sorted(ranks.items(), key=lambda entry: entry[1]):
        parts = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        known = [(left, right) for left, right in parts if left in ranks and right in ranks]
        yield from sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
