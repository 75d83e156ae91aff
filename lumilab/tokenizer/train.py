"""Learning a vocabulary from a corpus: the text it is learned from, the algorithm that learns it, the card.

All three algorithms give a vocabulary that begins with the reserved tokens, splits numbers into digits, knows all 256
bytes (so that no text is ever unknown) and does not change text (so that decoding gives it back). The same corpus and
settings give the same file, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.shards import read_documents
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.card import characters_by_source, measure
from lumilab.tokenizer.card_page import write_card
from lumilab.tokenizer.learn_byte_level import learn_byte_level
from lumilab.tokenizer.learn_sentencepiece import learn_sentencepiece
from lumilab.tokenizer.load import FILE_NAME, Tokenizer
from lumilab.tokenizer.plan import MODEL_NAME, tokenizer_identity
from lumilab.tokenizer.sample import MixedSample
from lumilab.work.context import WorkContext

FEED_CHARACTERS = 2**18  # how much text goes to the trainer at a time
NAMES = {
    "bpe": "byte-level BPE, pre-tokenizer `qwen2`, no normaliser",
    "sentencepiece_bpe": "SentencePiece BPE with byte fallback, no normaliser",
    "sentencepiece_unigram": "SentencePiece unigram with byte fallback, no normaliser",
}


def train_tokenizer(config: TokenizerConfig, corpus: Artifact, target: Path, context: WorkContext) -> Artifact:
    """Learns a tokenizer from a corpus and publishes it with its card.

    A small corpus may hold too few repeated pairs for the vocabulary asked; then the vocabulary is smaller, which is
    said, and written in the card and the statistics.

    Raises:
        InputError: the corpus has no text, or too little for the algorithm.
        ConfigError: the weights name a source that the corpus has not, or a library is missing.
        Interrupted: a stop was requested while reading.
    """
    characters = characters_by_source(corpus, context)
    sample = MixedSample(characters, config.train_characters, config.weights)
    text, files = _learn(config, _feed(corpus, sample, context))
    tokenizer = Tokenizer(text)
    if tokenizer.vocabulary_size < config.vocabulary_size:
        frequent = f"occurs {config.min_frequency} times" if config.algorithm == "bpe" else "is worth a token"
        context.report.say(
            f"The corpus gives a vocabulary of {tokenizer.vocabulary_size:,} tokens, not {config.vocabulary_size:,}: "
            f"no other pair of tokens {frequent}."
        )
    with ArtifactBuilder(
        target, kind="tokenizer", config={"tokenizer": tokenizer_identity(config)}, inputs={"corpus": corpus}
    ) as builder:
        taken = sample.taken
        card = measure(tokenizer, corpus, characters, context) | {
            "algorithm": NAMES[config.algorithm],
            "vocabulary_asked": config.vocabulary_size,
            "trained_on_characters": sum(taken.values()),
            "trained_on": taken,
        }
        builder.write_bytes(FILE_NAME, text.encode())
        for name, content in files.items():
            builder.write_bytes(name, content)
        write_card(builder, card)
        builder.statistics = {
            "identity": tokenizer.identity,
            "vocabulary_size": tokenizer.vocabulary_size,
            "bytes_per_token": card["all"]["bytes_per_token"],
        }
        return builder.publish()


def _learn(config: TokenizerConfig, texts: Iterator[list[str]]) -> tuple[str, dict[str, bytes]]:
    """The `tokenizer.json` learned from the texts, and the files to keep beside it."""
    if config.algorithm == "bpe":
        return learn_byte_level(texts, config.vocabulary_size, config.min_frequency), {}
    bpe = config.algorithm == "sentencepiece_bpe"
    text, model = learn_sentencepiece(texts, config.vocabulary_size, "bpe" if bpe else "unigram")
    return text, {MODEL_NAME: model}


def _feed(corpus: Artifact, sample: MixedSample, context: WorkContext) -> Iterator[list[str]]:
    texts: list[str] = []
    waiting = 0
    with context.report.task("Counting words", total=sample.target, unit="characters") as task:
        for document in read_documents(corpus):
            part = sample.take(document.source, document.text)
            if part:
                texts.append(part)
                waiting += len(part)
            if waiting >= FEED_CHARACTERS:
                context.stop.check()
                yield texts
                task.advance(waiting)
                texts, waiting = [], 0
        yield texts
        task.advance(waiting)
    context.report.say("  Choosing the vocabulary")
