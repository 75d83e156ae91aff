"""A tokenizer as the metadata of a GGUF file.

GGUF stores the vocabulary and, for byte-level BPE, the merges, but not how text is cut into words first: it names a way
that its readers have in code. A tokenizer that cuts in another way would be silently another one there, so it is
refused. SentencePiece's BPE has scores in the place of merges; their order is that of the merges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lumilab.errors import ConfigError
from lumilab.tokenizer.byte_pairs import GPT2_PATTERN, QWEN2_PATTERN

WAYS = {QWEN2_PATTERN: "qwen2", GPT2_PATTERN: "gpt-2"}
"""What readers call the patterns that they have in code."""
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "▁"


@dataclass(frozen=True)
class GgufVocabulary:
    """A vocabulary in GGUF's terms.

    Attributes:
        model: which of the readers' tokenizers it is: "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE).
        way: how text is cut into words.
        tokens, types: of every id.
        merges: "left right", byte-level BPE only.
        scores: of every id, SentencePiece only.
    """

    model: str
    way: str
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def gguf_vocabulary(definition: Mapping[str, Any], size: int) -> GgufVocabulary:
    """The vocabulary of a parsed `tokenizer.json`, filled up with unused tokens to the model's `size`.

    Raises:
        ConfigError: the readers of GGUF have no such tokenizer.
    """
    model = definition["model"]
    if model.get("type") != "BPE":
        raise _refused(f"its model is {model.get('type')}, and only BPE can be written")
    tokens = {number: name for name, number in model["vocab"].items()}
    types = dict.fromkeys(tokens, NORMAL)
    for added in definition.get("added_tokens") or []:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    names = [tokens.get(number, f"[PAD{number}]") for number in range(size)]
    kinds = [types.get(number, UNUSED) for number in range(size)]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    if model.get("byte_fallback"):
        return _sentencepiece(definition, names, kinds, pairs)
    if model.get("ignore_merges"):
        raise _refused("it takes whole words before merges (ignore_merges)")
    if definition.get("normalizer") is not None and definition["normalizer"]["type"] not in ("NFC",):
        raise _refused(f"it changes text before it encodes it ({definition['normalizer']['type']})")
    return GgufVocabulary("gpt2", _way(definition), names, kinds, merges=[" ".join(pair) for pair in pairs])


def _way(definition: Mapping[str, Any]) -> str:
    """The name of the way in which a byte-level tokenizer cuts text into words."""
    steps = _steps(definition.get("pre_tokenizer"), "pretokenizers")
    last = steps[-1] if steps else {}
    if last.get("type") == "ByteLevel" and not last.get("add_prefix_space"):
        if len(steps) == 1 and last.get("use_regex", True):
            return "gpt-2"
        if len(steps) == 2 and steps[0]["type"] == "Split" and not last.get("use_regex", True):
            pattern = steps[0]["pattern"].get("Regex")
            if pattern in WAYS and steps[0]["behavior"] == "Isolated" and not steps[0].get("invert"):
                return WAYS[pattern]
    raise _refused("it cuts text into words in a way that they do not have in code")


def _sentencepiece(
    definition: Mapping[str, Any], names: list[str], kinds: list[int], pairs: list[list[str]]
) -> GgufVocabulary:
    """SentencePiece's BPE: a space is put before the text, unknown characters become bytes."""
    steps = _steps(definition.get("normalizer"), "normalizers") + _steps(
        definition.get("pre_tokenizer"), "pretokenizers"
    )
    prepends = any(
        step["type"] == "Prepend" or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )
    known = {"Prepend", "Replace", "Metaspace"}
    if not prepends or any(step["type"] not in known for step in steps):
        raise _refused("its normalisation is not that of Llama's SentencePiece model")
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(pairs):
        ranks.setdefault(left + right, rank)
    unknown = definition["model"].get("unk_token")
    for number, name in enumerate(names):
        if name == unknown:
            kinds[number] = UNKNOWN
        elif name.startswith("<0x") and name.endswith(">") and len(name) == 6:
            kinds[number] = BYTE
    scores = [float(-ranks.get(name, len(pairs))) for name in names]
    return GgufVocabulary("llama", "default", names, kinds, scores=scores)


def _steps(part: Mapping[str, Any] | None, key: str) -> list[dict[str, Any]]:
    if part is None:
        return []
    return list(part[key]) if part["type"] == "Sequence" else [dict(part)]


def _refused(why: str) -> ConfigError:
    return ConfigError(
        f"GGUF's readers cannot have this tokenizer: {why}",
        where="tokenizer.json of the checkpoint",
        mend="export with `lumi export hf`; for GGUF, train with tokenizer.algorithm=bpe, whose words are Qwen2's.",
    )
