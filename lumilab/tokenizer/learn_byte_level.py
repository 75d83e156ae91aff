"""Byte-level byte-pair encoding, learned.

Byte-pair encoding (Sennrich et al. 2016) over bytes (Radford et al. 2019), so no text is ever unknown, with the
pre-tokenizer of Qwen2: words with their leading space, single digits, runs of punctuation, line breaks. Readers of
GGUF files implement the same pattern under the name `qwen2`, and fast encoders know it by its exact spelling. There
is no normaliser, so decoding gives back every byte.
"""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from lumilab.tokenizer.byte_pairs import QWEN2_PATTERN
from lumilab.tokenizer.special_tokens import RESERVED


def learn_byte_level(texts: Iterable[list[str]], vocabulary_size: int, min_frequency: int) -> str:
    """The `tokenizer.json` learned from texts.

    Args:
        texts: in lists of any length; learning sees their order only where two pairs are equally frequent.
        vocabulary_size: number of token ids, reserved ones included; fewer where the text holds no more pairs.
        min_frequency: pairs seen less often are not merged.
    """
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_frequency,
        special_tokens=list(RESERVED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    return str(backend.to_str(pretty=True))
