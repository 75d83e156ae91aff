"""A corpus small enough for tests, published as the real thing, without the reading and cleaning before it."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from rich.console import Console

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.document import Document
from lumilab.corpus.shards import shard_name, to_line, write_shard
from lumilab.recipe.dataset import DatasetConfig
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter

DATASET = DatasetConfig(window=32, validation_share=0.2, shard_tokens=1_000)
SEED = 7
WORDS = (
    *("the", "of", "a", "river", "bridge", "morning", "watches", "paints", "under", "can't", "we'll"),
    *("Über", "naïve", "东京", "emoji🙂", "1984", "3.14", "x=[0]*n\t#", "note\n\n"),
)


def quiet_context() -> tuple[WorkContext, io.StringIO]:
    """A context, and what is reported to it."""
    said = io.StringIO()
    return WorkContext(report=Reporter(Console(file=said, width=1_000))), said


def some_documents(count: int, *, seed: int = 0, source: str = "tiny", words: int = 60) -> list[Document]:
    """Documents of words in no order, with many kinds of characters."""
    draw = random.Random(seed)
    return [
        Document(f"{source}:{number}", " ".join(draw.choices(WORDS, k=draw.randint(1, words))) + "\n", source)
        for number in range(count)
    ]


def publish_corpus(target: Path, documents: Iterable[Document], shard_documents: int = 50) -> Artifact:
    """Publishes the documents as a corpus artifact."""
    with ArtifactBuilder(target, kind="corpus", config={}) as builder:
        for number, batch in enumerate(batched(documents, shard_documents)):
            write_shard(builder.path(shard_name(number)), map(to_line, batch))
        return builder.publish()


def batched(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """Lists of `size` documents; the last may have fewer."""
    iterator = iter(documents)
    while batch := list(islice(iterator, size)):
        yield batch
