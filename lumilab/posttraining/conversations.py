"""From raw conversations to rendered examples: read, checked, deduplicated, split, rendered, published.

The artifact holds, for each split, the arrays that `lumilab.posttraining.examples` describes; `samples.json` with a few
conversations as the model will see them; `quarantine.jsonl` with the rows that are no conversations and why;
`raw.jsonl` with what was read; and in the statistics how many of what were kept and dropped. Which split a conversation
goes to is a pure function of the seed and its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile
from lumilab.corpus.sources.source import Unchanged
from lumilab.dataset.order import order_key
from lumilab.dataset.shards import token_dtype
from lumilab.dataset.split import TRAIN, VALIDATION, splitter
from lumilab.errors import InputError
from lumilab.posttraining.examples import ExampleWriter
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
from lumilab.posttraining.messages import SYSTEM, Conversation
from lumilab.posttraining.samples import Samples
from lumilab.posttraining.sources import OpenSource, conversations_identity, open_sources
from lumilab.posttraining.tally import Tally
from lumilab.posttraining.templates import ChatForm
from lumilab.recipe.conversations import ConversationsConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext

KIND = "conversations"

__all__ = ["QUARANTINE", "build_conversations", "conversations_identity", "distinct", "raw_inventory", "read_sources"]


def raw_inventory(config: ConversationsConfig) -> tuple[list[RawFile], dict[str, Path | str]]:
    """Every raw file with its hash, and where each root is; reads all that are on this machine.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    return inventory_of(open_sources(config))


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
    unchanged = Unchanged(raw_paths_of(sources))
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
        raw = inventory_of(sources)
        tally, samples = Tally(), Samples(encoder)
        split_of = splitter(seed, config.validation_share)
        with builder.open(QUARANTINE) as quarantine, ExitStack() as stack:
            writers = {
                split: stack.enter_context(ExampleWriter(builder, split, token_dtype(encoder.vocabulary_size)))
                for split in (TRAIN, VALIDATION)
            }
            read = distinct(read_sources(sources, tally, quarantine, context.stop), tally)
            taken = limited(_long_enough(read, config.min_turns, tally), config.limit, seed, tally)
            lengths = range(config.min_tokens, (config.max_tokens or window) + 1)
            for conversation, (rendered,) in render_examples(
                taken, encoder, form, lengths, tally, context, "conversations"
            ):
                split = split_of(conversation.split_key)
                copies = _copies(conversation, weights[conversation.source], seed) if split == TRAIN else 1
                for _ in range(copies):
                    writers[split].add(rendered)
                samples.offer(conversation, split, rendered)
                tally.keep(conversation.source, copies)
        _check_enough(writers, tally, sources)
        builder.statistics |= {split: writer.counts() for split, writer in writers.items()}
        conclude(builder, sources, raw, unchanged, tally, samples, config.max_bad_share, context)
        return builder.publish(replace=True)


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
