"""Learning a vocabulary: byte-level byte-pair encoding from an even sample of the corpus.

Byte-pair encoding (Sennrich et al. 2016) over bytes (Radford et al. 2019), so no text is ever unknown, with the
pre-tokenizer of Qwen2: words with their leading space, single digits, runs of punctuation, line breaks. Readers of
GGUF files implement the same pattern under the name `qwen2`, and fast encoders know it by its exact spelling. There
is no normaliser, so decoding gives back every byte. The same corpus and settings give the same file, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# The room's own `Tokenizer` is the loaded one; here `tokenizers.Tokenizer` is the one being learned.
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.shards import read_documents
from lumilab.errors import InputError
from lumilab.recipe.section import identity
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.card import measure, write_card
from lumilab.tokenizer.load import FILE_NAME, Tokenizer
from lumilab.tokenizer.sample import EvenSample
from lumilab.tokenizer.special_tokens import RESERVED
from lumilab.work.context import WorkContext

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FEED_CHARACTERS = 2**18  # how much text goes to the trainer at a time


def train_tokenizer(config: TokenizerConfig, corpus: Artifact, target: Path, context: WorkContext) -> Artifact:
    """Learns a tokenizer from a corpus and publishes it with its card.

    A small corpus may hold too few repeated pairs for the vocabulary asked; then the vocabulary is smaller, which is
    said, and written in the card and the statistics.

    Raises:
        InputError: the corpus has no text.
        Interrupted: a stop was requested while reading.
    """
    characters = _characters_by_source(corpus, context)
    sample = EvenSample(sum(characters.values()), config.train_characters or sum(characters.values()))
    text = _learn(config, corpus, sample, context)
    tokenizer = Tokenizer(text)
    if tokenizer.vocabulary_size < config.vocabulary_size:
        context.report.say(
            f"The corpus gives a vocabulary of {tokenizer.vocabulary_size:,} tokens, not {config.vocabulary_size:,}: "
            f"no other pair of tokens occurs {config.min_frequency} times."
        )
    with ArtifactBuilder(
        target, kind="tokenizer", config={"tokenizer": identity(config)}, inputs={"corpus": corpus}
    ) as builder:
        card = measure(tokenizer, corpus, characters, context) | {
            "algorithm": config.algorithm,
            "vocabulary_asked": config.vocabulary_size,
            "trained_on_characters": sample.taken,
        }
        builder.write_bytes(FILE_NAME, text.encode())
        write_card(builder, card)
        builder.statistics = {
            "identity": tokenizer.identity,
            "vocabulary_size": tokenizer.vocabulary_size,
            "bytes_per_token": card["all"]["bytes_per_token"],
        }
        return builder.publish()


def _characters_by_source(corpus: Artifact, context: WorkContext) -> dict[str, int]:
    """How much text each source has, which an even sample needs to know beforehand."""
    characters: dict[str, int] = {}
    with context.report.task("Measuring the corpus", unit="documents") as task:
        for document in read_documents(corpus):
            context.stop.check()
            characters[document.source] = characters.get(document.source, 0) + len(document.text)
            task.advance()
    if not any(characters.values()):
        raise InputError(
            "The corpus has no text to learn a vocabulary from",
            where=str(corpus.path),
            mend="add text to corpus.sources, or lower corpus.min_characters.",
        )
    return characters


def _learn(config: TokenizerConfig, corpus: Artifact, sample: EvenSample, context: WorkContext) -> str:
    """The `tokenizer.json` learned from the sample."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        min_frequency=config.min_frequency,
        special_tokens=list(RESERVED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_feed(corpus, sample, context), trainer=trainer)
    return backend.to_str(pretty=True)


def _feed(corpus: Artifact, sample: EvenSample, context: WorkContext) -> Iterator[list[str]]:
    texts: list[str] = []
    waiting = 0
    with context.report.task("Counting words", total=sample.target, unit="characters") as task:
        for document in read_documents(corpus):
            part = sample.take(document.text)
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
    context.report.say("  Merging the most frequent pairs")
