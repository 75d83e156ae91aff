"""From raw conversations to rendered examples: read, checked, deduplicated, split, rendered, published.

The artifact holds, for each split, the arrays that `lumilab.posttraining.examples` describes; `samples.json` with a few
conversations as the model will see them; `quarantine.jsonl` with the rows that are no conversations and why;
`raw.jsonl` with what was read; and in the statistics how many of what were kept and dropped. Which split a conversation
goes to is a pure function of the seed and its id.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile, canonical_json, record_raw_files
from lumilab.corpus.document import BadRecord, Skipped
from lumilab.corpus.sources.source import RawPath, Unchanged, inventory
from lumilab.dataset.order import order_key
from lumilab.dataset.shards import token_dtype
from lumilab.dataset.split import TRAIN, VALIDATION, splitter
from lumilab.errors import InputError
from lumilab.posttraining.examples import ExampleWriter
from lumilab.posttraining.messages import SYSTEM, Conversation, fingerprint_of
from lumilab.posttraining.samples import Samples
from lumilab.posttraining.sources import OpenSource, conversations_identity, open_sources
from lumilab.posttraining.tally import Tally
from lumilab.posttraining.template import Rendered, render_many
from lumilab.posttraining.templates import ChatForm
from lumilab.recipe.conversations import ConversationsConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

KIND = "conversations"
QUARANTINE = "quarantine.jsonl"
RENDERED_TOGETHER = 256  # conversations

__all__ = ["build_conversations", "conversations_identity", "raw_inventory"]


def raw_inventory(config: ConversationsConfig) -> tuple[list[RawFile], dict[str, Path | str]]:
    """Every raw file with its hash, and where each root is; reads all that are on this machine.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    return _inventory(open_sources(config))


def build_conversations(
    config: ConversationsConfig, window: int, seed: int, tokenizer: Artifact, target: Path, context: WorkContext
) -> Artifact:
    """Renders the configured conversations and publishes them.

    Args:
        config: the sources and what is kept of them.
        window: the longest conversation in tokens, unless the configuration says less.
        seed: of the split, and of which conversations a limit keeps.
        tokenizer: turns text into ids.
        target: the folder to publish.
        context: where progress goes and stops come from.

    Raises:
        InputError: raw data is missing or changed while it was read, or there is nothing to train on.
        ConfigError: two sources have one name.
        MismatchError: the tokenizer lacks what the template needs.
        Interrupted: a stop was requested.
    """
    encoder = Tokenizer.load(tokenizer.path)
    form = ChatForm.named(config.template, config.think)
    form.template.end_id(encoder)  # better now than after all has been read
    sources = open_sources(config)
    weights = {source.name: source.weight for source in sources}
    unchanged = Unchanged(_raw_paths(sources))
    with ArtifactBuilder(
        target,
        kind=KIND,
        config={
            "conversations": conversations_identity(config),
            "window": window,
            "seed": seed,
            "tokenizer_identity": encoder.identity,
            "vocabulary_size": encoder.vocabulary_size,
        },
        inputs={"tokenizer": tokenizer},
    ) as builder:
        files, roots = _inventory(sources)
        tally, samples = Tally(), Samples(encoder)
        split_of = splitter(seed, config.validation_share)
        with builder.open(QUARANTINE) as quarantine, ExitStack() as stack:
            writers = {
                split: stack.enter_context(ExampleWriter(builder, split, token_dtype(encoder.vocabulary_size)))
                for split in (TRAIN, VALIDATION)
            }
            read = _distinct(_read(sources, tally, quarantine, context.stop), tally)
            taken = _limited(_long_enough(read, config.min_turns, tally), config.limit, seed, tally)
            lengths = range(config.min_tokens, (config.max_tokens or window) + 1)
            for conversation, rendered in _render(taken, encoder, form, lengths, tally, context):
                split = split_of(conversation.split_key)
                copies = _copies(conversation, weights[conversation.source], seed) if split == TRAIN else 1
                for _ in range(copies):
                    writers[split].add(rendered)
                samples.offer(conversation, rendered, split)
                tally.keep(conversation.source, copies)
        _check_enough(writers, tally, sources)
        tally.check(config.max_bad_share, {path.root: path.folder for path in _raw_paths(sources)})
        unchanged.check()
        record_raw_files(builder, files, roots)
        builder.write_json("samples.json", samples.summary())
        builder.statistics = {split: writer.counts() for split, writer in writers.items()} | tally.summary()
        for line in tally.describe():
            context.report.say(f"  {line}")
        if builder.path(QUARANTINE).stat().st_size:
            context.report.say(f"  Rows that are no conversations are listed in {target / QUARANTINE}", style="yellow")
        return builder.publish(replace=True)


def _raw_paths(sources: Sequence[OpenSource]) -> list[RawPath]:
    return [path for source in sources for path in source.raw_paths()]


def _inventory(sources: Sequence[OpenSource]) -> tuple[list[RawFile], dict[str, Path | str]]:
    files, folders = inventory(_raw_paths(sources))
    roots: dict[str, Path | str] = dict(folders)
    for source in sources:
        remote, addresses = source.remote_files()
        files += remote
        roots |= addresses
    return files, roots


def _read(
    sources: Sequence[OpenSource], tally: Tally, quarantine: BinaryIO, stop: StopRequest
) -> Iterator[Conversation]:
    """What the sources hold; rows that are no conversations go to the quarantine."""
    for source in sources:
        for item in source.read(stop):
            tally.read(source.name)
            if isinstance(item, Skipped):
                tally.drop(source.name, item.reason)
            elif isinstance(item, BadRecord):
                tally.refuse(source.name, item)
                quarantine.write(canonical_json({"source": source.name, **asdict(item)}) + b"\n")
            else:
                yield item


def _distinct(conversations: Iterable[Conversation], tally: Tally) -> Iterator[Conversation]:
    """Each conversation once: a repeated one would count twice, and might be in both splits."""
    seen: set[bytes] = set()
    for conversation in conversations:
        fingerprint = fingerprint_of(conversation.messages)
        if fingerprint in seen:
            tally.drop(conversation.source, "duplicate")
        else:
            seen.add(fingerprint)
            yield conversation


def _long_enough(conversations: Iterable[Conversation], least: int, tally: Tally) -> Iterator[Conversation]:
    """Those with at least so many messages besides the system's."""
    for conversation in conversations:
        if sum(message.role != SYSTEM for message in conversation.messages) >= least:
            yield conversation
        else:
            tally.drop(conversation.source, f"fewer than {least} messages")


def _copies(conversation: Conversation, weight: float, seed: int) -> int:
    """How often a conversation is in the training split: a weight of 2.5 is two or three times, by its id."""
    whole = int(weight)
    return whole + (order_key(seed, "weight", conversation.id) < (weight - whole) * 2**64)


def _limited(
    conversations: Iterable[Conversation], limit: int | None, seed: int, tally: Tally
) -> Iterator[Conversation]:
    """At most `limit` of them, chosen by a hash of their ids, in the order they came; memory holds that many."""
    if limit is None:
        yield from conversations
        return
    chosen: list[tuple[int, int, Conversation]] = []  # a heap with the largest hash first, as negative numbers
    for place, conversation in enumerate(conversations):
        entry = (-order_key(seed, "limit", conversation.id), -place, conversation)
        if len(chosen) < limit:
            heapq.heappush(chosen, entry)
        else:
            _, _, left = heapq.heappushpop(chosen, entry)
            tally.drop(left.source, "over the limit")
    for _, _, conversation in sorted(chosen, key=lambda entry: -entry[1]):
        yield conversation


def _render(
    conversations: Iterable[Conversation],
    tokenizer: Tokenizer,
    form: ChatForm,
    lengths: range,
    tally: Tally,
    context: WorkContext,
) -> Iterator[tuple[Conversation, Rendered]]:
    """Ids and mask of each conversation of a wanted length."""
    waiting = iter(conversations)
    with context.report.task("Rendering conversations", unit="conversations") as task:
        while batch := list(islice(waiting, RENDERED_TOGETHER)):
            context.stop.check()
            rendered = render_many([conversation.messages for conversation in batch], tokenizer, form)
            for conversation, example in zip(batch, rendered, strict=True):
                if len(example.ids) in lengths:
                    yield conversation, example
                elif len(example.ids) < lengths.start:
                    tally.drop(conversation.source, f"shorter than {lengths.start} tokens")
                else:
                    tally.drop(conversation.source, f"longer than {lengths.stop - 1} tokens")
            task.advance(len(batch))


def _check_enough(writers: dict[str, ExampleWriter], tally: Tally, sources: Sequence[OpenSource]) -> None:
    if writers[TRAIN].conversations:
        return
    if writers[VALIDATION].conversations:
        what = f"all {writers[VALIDATION].conversations:,} conversations fell to the validation split"
        mend = "lower conversations.validation_share, or give more conversations."
    else:
        what = "; ".join(tally.describe()) or "the sources are empty"
        mend = "see that each row has messages that end with the assistant's, and that they fit dataset.window."
    raise InputError(
        f"There are no conversations to train on: {what}",
        where=", ".join(f"source {source.name!r}" for source in sources),
        mend=mend,
    )
