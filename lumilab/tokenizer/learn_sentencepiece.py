"""SentencePiece's BPE and unigram vocabularies, learned by sentencepiece itself (Kudo 2018; Kudo and Richardson 2018).

The settings are Llama's where they matter (no normalisation, bytes for what is in no piece, single digits, spaces kept
as they are), but no space is put before a text: so the pieces of a text can be encoded one by one, as a chat does it.
The model goes into a `tokenizer.json`, which is what everything here reads; the `.model` is kept beside it for others.
sentencepiece learns from lines, so no piece has a line break in it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Literal

from lumilab.errors import ConfigError, InputError
from lumilab.tokenizer.sentencepiece_model import PieceModel
from lumilab.tokenizer.special_tokens import BOS, EOS, PAD, RESERVED, UNK

LINE_CHARACTERS = 1_000
"""Longer lines are cut: sentencepiece leaves out what is longer than it expects."""
THREADS = 4  # always, because the order of its sums depends on it


def learn_sentencepiece(
    texts: Iterable[list[str]], vocabulary_size: int, kind: Literal["bpe", "unigram"]
) -> tuple[str, bytes]:
    """The `tokenizer.json` and the SentencePiece model learned from texts.

    Args:
        texts: in lists of any length.
        vocabulary_size: number of token ids, reserved ones included; fewer where the text holds no more pieces.
        kind: of model.

    Raises:
        ConfigError: sentencepiece is not installed.
        InputError: the text holds too little for it.
    """
    try:
        import sentencepiece
    except ImportError:
        raise ConfigError(
            "SentencePiece tokenizers are learned by the library sentencepiece, which is not installed",
            where="tokenizer.algorithm",
            mend="install it (`pip install sentencepiece`), or set tokenizer.algorithm to bpe.",
        ) from None
    model = io.BytesIO()
    lines = list(_lines(texts))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=kind,
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            character_coverage=0.9999,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            byte_fallback=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            max_sentence_length=8 * LINE_CHARACTERS,
            pad_id=0, bos_id=1, eos_id=2, unk_id=3,
            pad_piece=PAD, bos_piece=BOS, eos_piece=EOS, unk_piece=UNK,
            control_symbols=list(RESERVED[4:]),
            num_threads=THREADS,
            minloglevel=2,
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"sentencepiece cannot learn {vocabulary_size:,} pieces from this text: {error}",
            where="tokenizer.vocabulary_size",
            mend="give it more text, or choose another size: it needs room for every character and all 256 bytes.",
        ) from None
    data = model.getvalue()
    definition = PieceModel.parse(data, "the learned model").definition()
    return json.dumps(definition, ensure_ascii=False, indent=1) + "\n", data


def _lines(texts: Iterable[list[str]]) -> Iterator[str]:
    for batch in texts:
        for text in batch:
            for line in text.split("\n"):
                for first in range(0, len(line), LINE_CHARACTERS):
                    yield line[first : first + LINE_CHARACTERS]
