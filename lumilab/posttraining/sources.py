"""Where conversations come from: each source lists its raw files and yields conversations or the rows it refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from lumilab.artifact import RawFile
from lumilab.corpus.document import BadRecord, Skipped
from lumilab.corpus.sources.finding import path_names
from lumilab.corpus.sources.python_installation import interpreter
from lumilab.corpus.sources.python_library import PythonLibrary, docstrings
from lumilab.corpus.sources.source import RawPath
from lumilab.errors import ConfigError
from lumilab.posttraining.docstring_questions import docstring_conversations
from lumilab.posttraining.exercises import exercises
from lumilab.posttraining.gathering import Source
from lumilab.posttraining.instructions import Found, parse_alpaca, parse_columns, parse_dolly, parse_lima
from lumilab.posttraining.messages import Conversation, Malformed, Message, fingerprint_of, parse_messages
from lumilab.posttraining.pairs import (
    LeftOut,
    Pair,
    chosen_of,
    good_of,
    parse_hh,
    parse_prompt,
    parse_ultrafeedback,
)
from lumilab.posttraining.rows import Row, Rows, open_rows
from lumilab.posttraining.sharegpt import parse_sharegpt
from lumilab.posttraining.trees import TreePaths
from lumilab.recipe.conversations import (
    AlpacaConversations,
    ArithmeticConversations,
    ColumnsConversations,
    ConversationsConfig,
    ConversationSource,
    DocstringConversations,
    DollyConversations,
    HHPairs,
    JudgedConversations,
    LimaConversations,
    OasstConversations,
    PairSource,
    PromptPairs,
    RowConversations,
    ShareGPTConversations,
    UltraFeedbackPairs,
)
from lumilab.recipe.corpus import PythonSource
from lumilab.recipe.section import identity
from lumilab.work.stopping import StopRequest

ID_DIGITS = 32  # hexadecimal, of a conversation's fingerprint

Read = Conversation | BadRecord | Skipped


class OpenSource(Source[Conversation], Protocol):
    """A source of conversations."""

    weight: float


class LibraryQuestions:
    """Questions about the Python library.

    Raises:
        InputError: this interpreter came without its library's source files.
    """

    def __init__(self, config: DocstringConversations) -> None:
        self.name = config.name
        self.weight = config.weight
        self._library = PythonLibrary(PythonSource(name=config.name, documentation=False, code=False))

    def raw_paths(self) -> Sequence[RawPath]:
        return self._library.raw_paths()

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        return [], {}

    def read(self, stop: StopRequest) -> Iterator[Read]:
        for conversation in docstring_conversations(self.name, docstrings(stop)):
            stop.check()
            yield conversation


class Exercises:
    """Arithmetic, made up while it is read."""

    def __init__(self, config: ArithmeticConversations) -> None:
        self.name = config.name
        self.weight = config.weight
        self._config = config

    def raw_paths(self) -> Sequence[RawPath]:
        return []

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        return [], {}

    def read(self, stop: StopRequest) -> Iterator[Read]:
        for conversation in exercises(self._config):
            stop.check()
            yield conversation


@dataclass(frozen=True)
class Limits:
    """How large a conversation of a row may be, by the recipe's section of that name."""

    turns: int
    characters: int
    section: str = "conversations"

    def check(self, messages: Sequence[Message]) -> None:
        """Raises Malformed for a larger one."""
        if len(messages) > self.turns:
            raise Malformed(
                f"more than {self.turns} messages",
                f"the row has {len(messages):,}; {self.section}.max_turns says how many it may have",
            )
        for number, message in enumerate(messages, start=1):
            length = len(message.content) + len(message.thinking or "")
            if length > self.characters:
                raise Malformed(
                    f"a message of more than {self.characters:,} characters",
                    f"message {number} has {length:,}; {self.section}.max_message says how many it may have",
                )


class RowSource:
    """Conversations made of rows.

    A conversation's id is a hash of its messages, so where it stands in which file makes no difference to its split;
    several from one row are told apart by a number and stay on one side.

    Args:
        section: of the recipe.
        limits: larger ones are refused.

    Raises:
        InputError: a path does not exist, or holds no file with rows.
    """

    def __init__(self, section: RowConversations, limits: Limits) -> None:
        self.name = section.name
        self.weight = section.weight
        self._section = section
        self._limits = limits
        self._rows: Rows = open_rows(section)

    def raw_paths(self) -> Sequence[RawPath]:
        return self._rows.raw_paths()

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        return self._rows.remote_files()

    def read(self, stop: StopRequest) -> Iterator[Read]:
        for item in self._found(self._rows.read(stop)):
            stop.check()
            if isinstance(item, BadRecord):
                yield item
            elif isinstance(item, LeftOut):
                yield Skipped(item.reason)
            else:
                yield from self._conversations(*item)

    def _found(self, rows: Iterable[Row | BadRecord]) -> Iterator[tuple[Row, Found] | BadRecord | LeftOut]:
        if isinstance(self._section, OasstConversations):
            yield from TreePaths(self._section.replies, self._section.language).read(rows)
            return
        parse = parser_of(self._section)
        for row in rows:
            if isinstance(row, BadRecord):
                yield row
                continue
            try:
                yield row, parse(row.value)
            except Malformed as error:
                yield row.refused(error.reason, error.detail)
            except LeftOut as left:
                yield left

    def _conversations(self, row: Row, found: Found) -> Iterator[Conversation | BadRecord]:
        group = fingerprint_of(found[0]).hex()[:ID_DIGITS]
        for number, messages in enumerate(found):
            try:
                self._limits.check(messages)
            except Malformed as error:
                yield row.refused(error.reason, error.detail)
            else:
                place = f"#{number}" if len(found) > 1 else ""
                yield Conversation(f"{self.name}:{group}{place}", self.name, messages, row.value)


def parser_of(section: RowConversations) -> Callable[[Any], Found]:
    """What makes conversations of a row of this kind; it raises Malformed, and LeftOut for what is not wanted."""
    parse: Callable[[Any], Found]
    match section:
        case AlpacaConversations():
            parse = partial(parse_alpaca, joint=section.joint)
        case DollyConversations():
            parse = partial(parse_dolly, joint=section.joint)
        case LimaConversations():
            parse = parse_lima
        case ShareGPTConversations():
            parse = parse_sharegpt
        case ColumnsConversations():
            parse = partial(parse_columns, question=section.question, answer=section.answer, system=section.system)
        case HHPairs() | UltraFeedbackPairs() | PromptPairs():
            parse = partial(_chosen, parse_pair=pair_parser_of(section))
        case JudgedConversations():
            parse = good_of
        case _:
            parse = _one
    return parse


def _one(row: Any) -> Found:
    return [parse_messages(row)]


def _chosen(row: Any, parse_pair: Callable[[Any], Pair]) -> Found:
    return chosen_of(parse_pair(row))


def pair_parser_of(section: PairSource) -> Callable[[Any], Pair]:
    """What makes a pair of a row of this kind; it raises Malformed."""
    match section:
        case HHPairs():
            return parse_hh
        case UltraFeedbackPairs():
            return parse_ultrafeedback
        case PromptPairs():
            return parse_prompt


def open_sources(config: ConversationsConfig) -> list[OpenSource]:
    """The configured sources, with their raw files found.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    check_names([section.name for section in config.sources], "conversations")
    limits = Limits(config.max_turns, config.max_message)
    return [_open(section, limits) for section in config.sources]


def check_names(names: Sequence[str], section: str) -> None:
    """Compares the sources' names of a section with one another.

    Raises:
        ConfigError: two have one.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"Two sources of {section} are called {twice!r}",
            where=f"{section}.sources",
            mend="give each source a `name` of its own.",
        )


def _open(section: ConversationSource, limits: Limits) -> OpenSource:
    if isinstance(section, DocstringConversations):
        return LibraryQuestions(section)
    if isinstance(section, ArithmeticConversations):
        return Exercises(section)
    return RowSource(section, limits)


def conversations_identity(config: ConversationsConfig) -> dict[str, Any]:
    """What decides about the content besides the raw files: the configuration without absolute paths and, where the
    interpreter itself is a source, which one it is. Goes into the digest and into the stage's key."""
    values = identity(config)
    for section, source in zip(values["sources"], config.sources, strict=True):
        if isinstance(source, RowConversations):
            section["paths"] = path_names(source.paths)
    if any(isinstance(source, DocstringConversations) for source in config.sources):
        values["interpreter"] = interpreter()
    return values
