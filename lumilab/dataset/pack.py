"""Building a dataset: every document becomes <|bos|> ids <|endoftext|> in one of two splits, packed without gaps.

Which split a document goes to depends on its id and the seed alone (a keyed hash), so adding documents never moves
one from training to validation, and no document is in both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.shards import read_documents
from lumilab.dataset.loader import count_windows
from lumilab.dataset.shards import SplitWriter, token_dtype
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.section import identity
from lumilab.tokenizer.encode import encode_documents
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext
from lumilab.work.progress import format_bytes, format_count

TRAIN = "train"
VALIDATION = "validation"


def build_dataset(
    config: DatasetConfig, seed: int, corpus: Artifact, tokenizer: Artifact, target: Path, context: WorkContext
) -> Artifact:
    """Encodes a corpus and publishes its two splits as token shards.

    The tokens of a split are the encoded lengths of its documents plus two for each: none is dropped here.
    `manifest.statistics` has documents, tokens and bytes of each split; `manifest.config` has `tokenizer_identity` and
    `vocabulary_size`.

    Raises:
        MismatchError: an input is an artifact of another kind.
        DamageError: the tokenizer is not as it was published.
        InputError: a split got no document, or training has not one window.
        Interrupted: a stop was requested.
    """
    encoder = _checked_tokenizer(corpus, tokenizer)
    with ArtifactBuilder(
        target,
        kind="dataset",
        config={
            "dataset": identity(config),
            "seed": seed,
            "tokenizer_identity": encoder.identity,
            "vocabulary_size": encoder.vocabulary_size,
        },
        inputs={"corpus": corpus, "tokenizer": tokenizer},
    ) as builder:
        dtype = token_dtype(encoder.vocabulary_size)
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(SplitWriter(builder, split, dtype, config.shard_tokens))
                for split in (TRAIN, VALIDATION)
            }
            _pack(encoder, corpus, writers, splitter(seed, config.validation_share), context)
        _check_splits(writers, config, corpus)
        builder.statistics = {
            split: {"documents": writer.documents, "tokens": writer.tokens, "bytes": writer.bytes}
            for split, writer in writers.items()
        }
        return builder.publish()


def splitter(seed: int, validation_share: float) -> Callable[[str], str]:
    """The function from a document's group (its id, if it stands alone) to its split's name."""
    keyed = blake2b(digest_size=8, key=blake2b(str(seed).encode(), digest_size=32).digest(), person=b"lumilab.split")
    threshold = validation_share * 2**64

    def split_of(group: str) -> str:
        state = keyed.copy()
        state.update(group.encode())
        return VALIDATION if int.from_bytes(state.digest(), "big") < threshold else TRAIN

    return split_of


def _checked_tokenizer(corpus: Artifact, tokenizer: Artifact) -> Tokenizer:
    for artifact, kind in ((corpus, "corpus"), (tokenizer, "tokenizer")):
        if artifact.manifest.kind != kind:
            raise MismatchError(
                f"Expected a {kind}, but this is a {artifact.manifest.kind}",
                where=str(artifact.path),
                mend=f"give the folder of a {kind}; `lumi inspect` shows what a folder is.",
            )
    # The files are small, and ids from a damaged vocabulary would spoil everything that follows.
    for problem in tokenizer.problems():
        raise DamageError(str(problem), mend="build the tokenizer again with `lumi run RECIPE --force tokenizer`.")
    return Tokenizer.load(tokenizer.path)


def _pack(
    tokenizer: Tokenizer,
    corpus: Artifact,
    writers: dict[str, SplitWriter],
    split_of: Callable[[str], str],
    context: WorkContext,
) -> None:
    tokens = 0
    with context.report.task("Packing", corpus.manifest.statistics.get("bytes"), unit="bytes") as task:
        for document, ids in encode_documents(tokenizer, read_documents(corpus), context.stop):
            size = len(document.text.encode())
            writers[split_of(document.group)].add([tokenizer.bos_id, *ids, tokenizer.eos_id], size)
            tokens += len(ids) + 2
            task.advance(size, speed=f"{format_bytes(task.rate())}/s", tokens=format_count(tokens))


def _check_splits(writers: dict[str, SplitWriter], config: DatasetConfig, corpus: Artifact) -> None:
    total = sum(writer.documents for writer in writers.values())
    for split, writer in writers.items():
        if not writer.documents:
            direction = "raise" if split == VALIDATION else "lower"
            raise InputError(
                f"The {split} split got none of the corpus's {total:,} documents "
                f"(dataset.validation_share is {config.validation_share:g})",
                where=str(corpus.path),
                mend=f"{direction} dataset.validation_share, or add documents; one long text can be given as several.",
            )
    count_windows(writers[TRAIN].tokens, config.window, TRAIN)
