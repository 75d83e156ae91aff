"""Byte-level byte-pair encoding, learned.

Byte-pair encoding (Sennrich et al. 2016) over bytes (Radford et al. 2019), so no text is ever unknown, with the
pre-tokenizer of Qwen2: words with their leading space, single digits, runs of punctuation, line breaks. Readers of
GGUF files implement the same pattern under the name `qwen2`, and fast encoders know it by its exact spelling. There
is no normaliser, so decoding gives back every byte.

The trainer of `tokenizers` is the reference. Where numba is installed, words are counted and merges are found by
compiled code that gives the same file, byte by byte, several times as fast. (gigatoken's trainer cuts words as GPT-2
did and can do no other, so it cannot learn this vocabulary.)
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from lumilab.tokenizer.byte_level import character_of_byte
from lumilab.tokenizer.byte_pairs import QWEN2_PATTERN
from lumilab.tokenizer.special_tokens import RESERVED


def learn_byte_level(texts: Iterable[list[str]], vocabulary_size: int, min_frequency: int) -> str:
    """The `tokenizer.json` learned from texts.

    Args:
        texts: in lists of any length.
        vocabulary_size: number of token ids, reserved ones included; fewer where the text holds no more pairs.
        min_frequency: pairs seen less often are not merged.
    """
    if find_spec("numba") is None:
        return learn_by_reference(texts, vocabulary_size, min_frequency)
    return learn_compiled(texts, vocabulary_size, min_frequency)


def learn_by_reference(texts: Iterable[list[str]], vocabulary_size: int, min_frequency: int) -> str:
    """`learn_byte_level` by the trainer of `tokenizers`."""
    backend = _empty(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_frequency,
        special_tokens=list(RESERVED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    return str(backend.to_str(pretty=True))


def learn_compiled(texts: Iterable[list[str]], vocabulary_size: int, min_frequency: int) -> str:
    """`learn_byte_level` by compiled code."""
    from lumilab.tokenizer.merges import learn_merges
    from lumilab.tokenizer.word_counts import WordCounts

    words = WordCounts()
    for batch in texts:
        words.add(batch)
    data, ends, counts = words.words()
    spelled = [*RESERVED, *sorted(character_of_byte())]  # token by id; the alphabet in the order of its characters
    ids = {token: number for number, token in enumerate(spelled)}
    merges: list[tuple[str, str]] = []

    def join(left: int, right: int) -> int | None:
        if len(ids) >= vocabulary_size:
            return None
        pair = spelled[left], spelled[right]
        merges.append(pair)
        # The same token may be reached by another pair before: then this is one more way to it, and no new token.
        token = ids.setdefault("".join(pair), len(spelled))
        if token == len(spelled):
            spelled.append("".join(pair))
        return token

    first = np.array([ids[character] for character in character_of_byte()], dtype=np.int32)
    learn_merges(first[data], ends, counts, min_frequency, join)
    backend = _empty(models.BPE(vocab=ids, merges=merges))
    backend.add_special_tokens(list(RESERVED))
    return str(backend.to_str(pretty=True))


def _empty(model: models.BPE) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend
