"""Building a dataset: the documents of a corpus as token ids, in two splits, packed without gaps.

Two steps. *Encode* is a phase of independent tasks (see lumilab.work.phases and lumilab.dataset.encoding): each shard
of the corpus becomes pieces of token ids. *Join* puts the pieces of each split and source one after the other, in
the corpus's order, into shards of one length. What comes out depends on the documents, their order, the tokenizer, the
configuration and the seed; how the corpus is sharded, who did the work and how often it was killed do not matter.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lumilab.artifact import Artifact, ArtifactBuilder, work_folder
from lumilab.corpus.shards import shard_paths
from lumilab.dataset import VERSION
from lumilab.dataset.accounting import account, tell
from lumilab.dataset.encoding import EncodeOrder, Piece, checked_tokenizer, encode_shard
from lumilab.dataset.shards import token_dtype
from lumilab.dataset.split import SPLITS, TRAIN, VALIDATION
from lumilab.dataset.split_writer import SourceWriter, SplitWriter
from lumilab.dataset.windows import RegularWindows
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.section import identity
from lumilab.work.context import WorkContext
from lumilab.work.executors import workers_for
from lumilab.work.phases import Phase
from lumilab.work.progress import format_count

SMALL = 64 << 20  # bytes of text: starting processes would take longer than they save
JOINED_TOKENS = 1 << 22  # at a time: bounds memory, and how long a stop waits


def build_dataset(
    config: DatasetConfig, seed: int, corpus: Artifact, tokenizer: Artifact, target: Path, context: WorkContext
) -> Artifact:
    """Encodes a corpus and publishes its two splits as token shards.

    What a killed build has encoded lies in a hidden folder beside the target, and the next one goes on from there.
    `manifest.statistics` is what `accounting.account` says; `manifest.config` has `tokenizer_identity` and
    `vocabulary_size`.

    Raises:
        MismatchError: an input is an artifact of another kind.
        DamageError: the tokenizer or the corpus is not as it was published.
        InputError: a split got no document, or training has not one window.
        Interrupted: a stop was requested.
    """
    _check_kinds(corpus, tokenizer)
    encoder = checked_tokenizer(tokenizer)
    work = work_folder(target)
    encoded = _encode(config, seed, corpus, tokenizer, work, context)
    try:
        _check_whole(encoded, corpus)
        _check_splits(encoded, config, corpus)
    except (InputError, DamageError):
        shutil.rmtree(work, ignore_errors=True)  # whatever mends it, these tasks will not be asked for again
        raise
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
        written = _join(config, encoded, builder, token_dtype(encoder.vocabulary_size), context)
        builder.statistics = account(config, [piece for _, piece in encoded], written)
        artifact = builder.publish()
    shutil.rmtree(work, ignore_errors=True)
    tell(artifact.manifest.statistics, context.report)
    return artifact


Encoded = Sequence[tuple[Path, Piece]]
"""Pieces and the folders they lie in, in the corpus's order."""


def _check_kinds(corpus: Artifact, tokenizer: Artifact) -> None:
    for artifact, kind in ((corpus, "corpus"), (tokenizer, "tokenizer")):
        if artifact.manifest.kind != kind:
            raise MismatchError(
                f"Expected a {kind}, but this is a {artifact.manifest.kind}",
                where=str(artifact.path),
                mend=f"give the folder of a {kind}; `lumi inspect` shows what a folder is.",
            )


def _encode(
    config: DatasetConfig,
    seed: int,
    corpus: Artifact,
    tokenizer: Artifact,
    work: Path,
    context: WorkContext,
) -> Encoded:
    shards = shard_paths(corpus)
    size = corpus.manifest.statistics.get("bytes", 0)
    count = config.workers or (1 if size < SMALL else None)
    basis = [VERSION, corpus.digest, tokenizer.digest]
    workers = workers_for(config.executor, work, context, count, basis=basis)
    orders = [EncodeOrder(path, tokenizer.path, tokenizer.digest, seed, config.validation_share) for path in shards]
    # The text's size, dealt to the shards by what they take on disk: progress is in bytes of text.
    stored = [path.stat().st_size for path in shards]
    sizes = [(size or sum(stored)) * part // max(sum(stored), 1) for part in stored]
    phase = Phase("encode", "Encoding the corpus", encode_shard, orders, sizes, worth_a_line=0, facts=_facts)
    return [(done.folder, Piece(**counts)) for done in workers.run(phase) for counts in done.answer["pieces"]]


def _facts(answers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {"tokens": format_count(sum(piece["tokens"] for answer in answers for piece in answer["pieces"]))}


def _check_whole(encoded: Encoded, corpus: Artifact) -> None:
    """Refuses a corpus that holds another number of documents than it says."""
    found = sum(piece.documents for _, piece in encoded)
    published = corpus.manifest.statistics.get("documents", found)
    if found != published:
        raise DamageError(
            f"The corpus holds {found:,} documents, and its manifest says {published:,}",
            where=str(corpus.path),
            mend="build the corpus again with `lumi corpus build RECIPE --force`.",
        )


def _check_splits(encoded: Encoded, config: DatasetConfig, corpus: Artifact) -> None:
    """Refuses a split that cannot be used: one without documents, or training text without a window."""
    documents = {split: sum(piece.documents for _, piece in encoded if piece.split == split) for split in SPLITS}
    for split, count in documents.items():
        if not count:
            direction = "raise" if split == VALIDATION else "lower"
            raise InputError(
                f"The {split} split got none of the corpus's {sum(documents.values()):,} documents "
                f"(dataset.validation_share is {config.validation_share:g})",
                where=str(corpus.path),
                mend=f"{direction} dataset.validation_share, or add documents; one long text can be given as several.",
            )
    tokens: dict[str, int] = {}
    for _, piece in encoded:
        if piece.split == TRAIN:
            tokens[piece.source] = tokens.get(piece.source, 0) + piece.tokens
    longest = max(tokens.values())
    if config.packing != "best_fit" and not RegularWindows.of(config).count(longest):
        raise InputError(
            f"The {TRAIN} split has {longest:,} tokens{' at most of one source' if len(tokens) > 1 else ''}, and one "
            f"window needs {config.window + 1:,}",
            where="dataset.window",
            mend="lower dataset.window, or add text to corpus.sources.",
        )


def _join(
    config: DatasetConfig, encoded: Encoded, builder: ArtifactBuilder, dtype: np.dtype[Any], context: WorkContext
) -> dict[str, list[dict[str, Any]]]:
    """Writes both splits; returns the entries of their indexes."""
    streams: dict[tuple[str, str], list[tuple[Path, Piece]]] = {}
    for folder, piece in encoded:
        streams.setdefault((piece.split, piece.source), []).append((folder, piece))
    sources = dict.fromkeys(piece.source for _, piece in encoded)  # in the order of their first documents
    total = sum(piece.tokens for _, piece in encoded)
    written = {}
    with context.report.task("Writing the shards", total, unit="tokens", worth_a_line=2) as task:
        for split in SPLITS:
            best_fit = config.window if config.packing == "best_fit" and split == TRAIN else None
            with SplitWriter(builder, split, dtype, config.shard_tokens, best_fit) as writer:
                for source in sources:
                    with writer.stream(source) as stream:
                        for folder, piece in streams.get((split, source), ()):
                            _append(stream, folder, piece, context)
                            task.advance(piece.tokens)
            written[split] = writer.sources
    return written


def _append(stream: SourceWriter, folder: Path, piece: Piece, context: WorkContext) -> None:
    tokens, ends = piece.arrays(folder)
    for start in range(0, len(tokens), JOINED_TOKENS):
        context.stop.check()
        part = tokens[start : start + JOINED_TOKENS]
        first, last = np.searchsorted(ends, np.array([start, start + len(part)], np.uint64), side="right")
        stream.append(part, ends[first:last].astype(np.int64) - start, 0 if start else piece.bytes)
