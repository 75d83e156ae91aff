"""Questions to practise on: a prompt, what a reward may compare an answer with, and the row that it is all from.

They are read as conversations are, and the last answer of each is taken off it. The artifact has `train.jsonl` and
`validation.jsonl`, one question a line; `quarantine.jsonl` with the rows that are none; and `raw.jsonl`. Which split a
question goes to is a function of the seed and its id, as for conversations: what is held back there is held back here,
if both have one seed and share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile, canonical_json, record_raw_files
from lumilab.corpus.sources.source import Unchanged
from lumilab.dataset.split import SPLITS, TRAIN, splitter
from lumilab.errors import DamageError, InputError
from lumilab.posttraining.conversations import (
    QUARANTINE,
    conversations_identity,
    distinct,
    raw_inventory,
    read_sources,
)
from lumilab.posttraining.messages import Conversation, Message
from lumilab.posttraining.sources import open_sources
from lumilab.posttraining.tally import Tally
from lumilab.posttraining.template import render_prompt
from lumilab.posttraining.templates import ChatForm
from lumilab.recipe.conversations import ConversationsConfig
from lumilab.recipe.grpo import PromptsConfig
from lumilab.recipe.section import identity
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext

KIND = "prompts"


@dataclass(frozen=True)
class Question:
    """Something to answer.

    Attributes:
        id: as a conversation's.
        messages: what the model is given; the last is the user's.
        answer: the right answer as its source has it.
        row: the JSON value that the question was made of.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str
    row: Any = None

    @classmethod
    def of(cls, conversation: Conversation) -> Question:
        """A conversation without its last answer."""
        *messages, last = conversation.messages
        return cls(conversation.id, tuple(messages), last.content, conversation.row)


def prompts_identity(config: PromptsConfig) -> dict[str, Any]:
    """What decides about the content besides the raw files; without absolute paths."""
    return identity(config) | {"sources": conversations_identity(_as_conversations(config))["sources"]}


def prompts_inventory(config: PromptsConfig) -> tuple[list[RawFile], dict[str, Path | str]]:
    """Every raw file with its hash, and where each root is; raises what `raw_inventory` raises."""
    return raw_inventory(_as_conversations(config))


def build_prompts(
    config: PromptsConfig,
    form: ChatForm,
    longest: int,
    seed: int,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
) -> Artifact:
    """Reads the configured questions and publishes them.

    Args:
        config: the sources and what is kept of them.
        form: in which the model is asked.
        longest: tokens of the longest prompt that is kept.
        seed: of the split.
        tokenizer: counts the tokens.
        target: the folder to publish.
        context: where progress goes and stops come from.

    Raises:
        InputError: raw data is missing or changed while it was read, or one of the splits has no question.
        ConfigError: two sources have one name.
        MismatchError: the tokenizer lacks what the form needs.
        Interrupted: a stop was requested.
    """
    encoder = Tokenizer.load(tokenizer.path)
    sources = open_sources(_as_conversations(config))
    paths = [path for source in sources for path in source.raw_paths()]
    unchanged = Unchanged(paths)
    description = {
        "prompts": prompts_identity(config),
        "template": form.template.name,
        "think": form.think,
        "longest": longest,
        "seed": seed,
        "tokenizer_identity": encoder.identity,
    }
    with ArtifactBuilder(target, kind=KIND, config=description, inputs={"tokenizer": tokenizer}) as builder:
        tally, counts = Tally("questions", "prompts"), dict.fromkeys(SPLITS, 0)
        split_of = splitter(seed, config.validation_share)
        with ExitStack() as stack:
            quarantine = stack.enter_context(builder.open(QUARANTINE))
            files = {split: stack.enter_context(builder.open(f"{split}.jsonl")) for split in SPLITS}
            read = distinct(read_sources(sources, tally, quarantine, context.stop), tally)
            for conversation in islice(_fitting(read, encoder, form, longest, tally), config.limit):
                split = split_of(conversation.split_key)
                files[split].write(canonical_json(asdict(Question.of(conversation))) + b"\n")
                tally.keep(conversation.source)
                counts[split] += 1
        _check_enough(counts, tally)
        tally.check(config.max_bad_share, {path.root: path.folder for path in paths})
        unchanged.check()
        record_raw_files(builder, *prompts_inventory(config))
        builder.statistics = {split: {"questions": count} for split, count in counts.items()} | tally.summary()
        for line in tally.describe():
            context.report.say(f"  {line}")
        if builder.path(QUARANTINE).stat().st_size:
            context.report.say(f"  Rows that are no questions are listed in {target / QUARANTINE}", style="yellow")
        return builder.publish(replace=True)


def load_questions(prompts: Artifact, split: str) -> list[Question]:
    """The questions of a split, "train" or "validation".

    Raises:
        DamageError: the file is not as it was written.
    """
    path = prompts.file(f"{split}.jsonl")
    try:
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        return [Question(**row | {"messages": tuple(Message(**each) for each in row["messages"])}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise DamageError(
            "The questions cannot be read", where=str(path), mend="build them again with `--force prompts`."
        ) from error


def _as_conversations(config: PromptsConfig) -> ConversationsConfig:
    return ConversationsConfig(sources=list(config.sources))


def _fitting(
    conversations: Iterator[Conversation], tokenizer: Tokenizer, form: ChatForm, longest: int, tally: Tally
) -> Iterator[Conversation]:
    """Those whose prompt leaves room for an answer."""
    for conversation in conversations:
        if len(render_prompt(conversation.messages[:-1], tokenizer, form)) <= longest:
            yield conversation
        else:
            tally.drop(conversation.source, f"prompt longer than {longest} tokens")


def _check_enough(counts: dict[str, int], tally: Tally) -> None:
    if all(counts.values()):
        return
    lacking = "to train on" if not counts[TRAIN] else "held back for validation"
    raise InputError(
        f"There are no questions {lacking}: {'; '.join(tally.describe()) or 'the sources are empty'}",
        where="prompts.sources",
        mend="give more questions, change prompts.validation_share, or lower grpo.max_tokens where prompts are too "
        "long for the model's context.",
    )
