"""From raw preferences to rendered pairs: read, checked, deduplicated, split, rendered, published.

The artifact holds, for each split, the arrays that `lumilab.posttraining.comparisons` describes; `samples.json` with a
few pairs as the model will see them; `quarantine.jsonl` with the rows that are no pairs and why; `raw.jsonl` with what
was read; and in the statistics how many of what were kept and dropped. Which split a pair goes to is a pure function of
the seed and of how its prompt begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile
from lumilab.corpus.document import BadRecord
from lumilab.corpus.sources.finding import path_names
from lumilab.corpus.sources.source import RawPath, Unchanged
from lumilab.dataset.arrays import ArrayWriter
from lumilab.dataset.shards import token_dtype
from lumilab.dataset.split import SPLITS, TRAIN, VALIDATION, splitter
from lumilab.errors import InputError
from lumilab.posttraining.examples import VERDICTS, ExampleWriter
from lumilab.posttraining.gathering import (
    QUARANTINE,
    conclude,
    distinct,
    inventory_of,
    limited,
    raw_paths_of,
    read_sources,
    render_examples,
)
from lumilab.posttraining.messages import Malformed
from lumilab.posttraining.pairs import Comparison, parse_judged
from lumilab.posttraining.rows import open_rows
from lumilab.posttraining.samples import Samples
from lumilab.posttraining.sources import Limits, check_names, pair_parser_of
from lumilab.posttraining.tally import Tally
from lumilab.posttraining.template import Rendered
from lumilab.posttraining.templates import ChatForm
from lumilab.recipe.conversations import JudgedConversations
from lumilab.recipe.preference import PairsConfig, PreferenceSource
from lumilab.recipe.section import identity
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

KIND = "pairs"
SECTION = "preference"


class PairSource:
    """Pairs, or single answers with a verdict, made of rows.

    Args:
        section: of the recipe.
        limits: larger ones are refused.

    Raises:
        InputError: a path does not exist, or holds no file with rows.
    """

    def __init__(self, section: PreferenceSource, limits: Limits) -> None:
        self.name = section.name
        self._section = section
        self._limits = limits
        self._rows = open_rows(section)

    def raw_paths(self) -> Sequence[RawPath]:
        return self._rows.raw_paths()

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        return self._rows.remote_files()

    def read(self, stop: StopRequest) -> Iterator[Comparison | BadRecord]:
        """The comparisons in a fixed order, and the rows that are none; honours the stop request between them."""
        for row in self._rows.read(stop):
            if isinstance(row, BadRecord):
                yield row
                continue
            try:
                comparison = self._parse(row.value)
                for side in comparison.sides:
                    self._limits.check(side)
            except Malformed as error:
                yield row.refused(error.reason, error.detail)
            else:
                yield comparison

    def _parse(self, row: Any) -> Comparison:
        if isinstance(self._section, JudgedConversations):
            return Comparison.of_judged(*parse_judged(row), self.name)
        return Comparison.of_pair(pair_parser_of(self._section)(row), self.name)


def open_pairs(config: PairsConfig) -> list[PairSource]:
    """The configured sources, with their raw files found.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    check_names([section.name for section in config.sources], SECTION)
    limits = Limits(config.max_turns, config.max_message, SECTION)
    return [PairSource(section, limits) for section in config.sources]


def pairs_identity(config: PairsConfig) -> dict[str, Any]:
    """What decides about the content besides the raw files: the configuration without absolute paths."""
    values = identity(config)
    for section, source in zip(values["sources"], config.sources, strict=True):
        section["paths"] = path_names(source.paths)
    return values


def pairs_inventory(config: PairsConfig) -> tuple[list[RawFile], dict[str, Path | str]]:
    """Every raw file with its hash, and where each root is; raises what `open_pairs` raises."""
    return inventory_of(open_pairs(config))


def build_pairs(
    config: PairsConfig,
    form: ChatForm,
    window: int,
    seed: int,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
) -> Artifact:
    """Renders the configured pairs and publishes them.

    Args:
        config: the sources and what is kept of them.
        form: in which the model chats.
        window: the longest side in tokens, unless the configuration says less.
        seed: of the split, and of which pairs a limit keeps.
        tokenizer: turns text into ids.
        target: the folder to publish.
        context: where progress goes and stops come from.

    Raises:
        InputError: raw data is missing or changed while it was read, or there is nothing to train on.
        ConfigError: two sources have one name.
        MismatchError: the tokenizer lacks what the form needs.
        Interrupted: a stop was requested.
    """
    encoder = Tokenizer.load(tokenizer.path)
    form.template.end_id(encoder)  # better now than after all has been read
    sources = open_pairs(config)
    unchanged = Unchanged(raw_paths_of(sources))
    description = {
        "pairs": pairs_identity(config),
        "conversations": {"template": form.template.name, "think": form.think},
        "paired": not any(isinstance(source, JudgedConversations) for source in config.sources),
        "window": window,
        "seed": seed,
        "tokenizer_identity": encoder.identity,
        "vocabulary_size": encoder.vocabulary_size,
    }
    with ArtifactBuilder(target, kind=KIND, config=description, inputs={"tokenizer": tokenizer}) as builder:
        raw = inventory_of(sources)
        tally, samples = Tally("pairs", SECTION), Samples(encoder)
        split_of = splitter(seed, config.validation_share)
        with builder.open(QUARANTINE) as quarantine, ExitStack() as stack:
            dtype = token_dtype(encoder.vocabulary_size)
            writers = {split: stack.enter_context(SplitWriter(builder, split, dtype)) for split in SPLITS}
            read = distinct(read_sources(sources, tally, quarantine, context.stop), tally)
            taken = limited(read, config.limit, seed, tally)
            lengths = range(config.min_tokens, (config.max_tokens or window) + 1)
            rendered = render_examples(taken, encoder, form, lengths, tally, context, "pairs")
            for comparison, sides in _told_apart(rendered, tally):
                split = split_of(comparison.split_key)
                writers[split].write(comparison, sides)
                samples.offer(comparison, split, *sides)
                tally.keep(comparison.source)
        _check_enough(writers, tally, sources)
        builder.statistics |= {split: writer.counts() for split, writer in writers.items()}
        conclude(builder, sources, raw, unchanged, tally, samples, config.max_bad_share, context)
        return builder.publish(replace=True)


class SplitWriter(ExampleWriter):
    """Writes one split with its verdicts."""

    def __init__(self, builder: ArtifactBuilder, split: str, dtype: np.dtype[Any]) -> None:
        super().__init__(builder, split, dtype)
        self.comparisons = 0
        self._verdicts = self._files.enter_context(ArrayWriter(builder.path(f"{split}/{VERDICTS}"), np.uint8))

    def write(self, comparison: Comparison, sides: Sequence[Rendered]) -> None:
        """Appends all sides of one."""
        for side in sides:
            self.add(side)
        self._verdicts.append(list(comparison.verdicts))
        self.comparisons += 1

    def counts(self) -> dict[str, int]:
        """What was written; a conversation is a side."""
        return super().counts() | {"comparisons": self.comparisons}


def _told_apart(
    rendered: Iterable[tuple[Comparison, list[Rendered]]], tally: Tally
) -> Iterator[tuple[Comparison, list[Rendered]]]:
    """Those whose sides differ as tokens too: with think blocks left out, or spaces, they may not."""
    for comparison, sides in rendered:
        if len({tuple(side.ids) for side in sides}) == len(sides):
            yield comparison, sides
        else:
            tally.drop(comparison.source, "alike once rendered")


def _check_enough(writers: Mapping[str, SplitWriter], tally: Tally, sources: Sequence[PairSource]) -> None:
    if writers[TRAIN].comparisons:
        return
    if writers[VALIDATION].comparisons:
        what = f"all {writers[VALIDATION].comparisons:,} pairs fell to the validation split"
        mend = "lower preference.validation_share, or give more pairs with other prompts."
    else:
        what = "; ".join(tally.describe()) or "the sources are empty"
        mend = "see that `kind` is the form of these rows, and that both sides fit dataset.window."
    raise InputError(
        f"There are no pairs to train on: {what}",
        where=", ".join(f"source {source.name!r}" for source in sources),
        mend=mend,
    )
