"""Where conversations come from: each source lists its raw files and yields conversations or the rows it refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers.documents import rows
from lumilab.corpus.sources.finding import path_names
from lumilab.corpus.sources.local_files import LocalFiles
from lumilab.corpus.sources.python_installation import interpreter
from lumilab.corpus.sources.python_library import PythonLibrary, docstrings
from lumilab.corpus.sources.source import RawPath
from lumilab.errors import ConfigError, InputError
from lumilab.posttraining.docstring_questions import docstring_conversations
from lumilab.posttraining.messages import Conversation, Malformed, Message, fingerprint_of, parse_messages
from lumilab.recipe.corpus import FilesSource, PythonSource
from lumilab.recipe.schema import ConversationsConfig, DocstringConversations, MessagesConversations
from lumilab.recipe.section import identity
from lumilab.work.stopping import StopRequest

ID_DIGITS = 32  # hexadecimal, of a conversation's fingerprint


class ConversationSource(Protocol):
    """A configured source."""

    name: str

    def raw_paths(self) -> Sequence[RawPath]:
        """Every file the source reads, in reading order."""
        ...

    def read(self, stop: StopRequest) -> Iterator[Conversation | BadRecord]:
        """The conversations in a fixed order, and the rows that are none; honours the stop request between them."""
        ...


class LibraryQuestions:
    """Questions about the Python library.

    Raises:
        InputError: this interpreter came without its library's source files.
    """

    def __init__(self, config: DocstringConversations) -> None:
        self.name = config.name
        self._library = PythonLibrary(PythonSource(name=config.name, documentation=False, code=False))

    def raw_paths(self) -> Sequence[RawPath]:
        return self._library.raw_paths()

    def read(self, stop: StopRequest) -> Iterator[Conversation | BadRecord]:
        for conversation in docstring_conversations(self.name, docstrings(stop)):
            stop.check()
            yield conversation


class RowFiles:
    """JSON-lines files with one conversation a row.

    A conversation's id is a hash of its messages, so where it stands in which file makes no difference to its split.

    Args:
        name: of the source.
        paths: files, folders and globs.
        parse: from a row to its messages; raises Malformed.

    Raises:
        InputError: a path does not exist, or holds no JSON-lines file.
    """

    def __init__(self, name: str, paths: Sequence[str], parse: Callable[[Any], tuple[Message, ...]]) -> None:
        self.name = name
        self._parse = parse
        found = LocalFiles(FilesSource(name=name, paths=list(paths))).raw_paths()
        self._files = [file for file in found if ".jsonl" in file.path.suffixes]
        if not self._files:
            raise InputError(
                "There is no JSON-lines file to read conversations from",
                where=", ".join(paths),
                mend="give files that end in .jsonl, .jsonl.gz or .jsonl.zst.",
            )

    def raw_paths(self) -> Sequence[RawPath]:
        return self._files

    def read(self, stop: StopRequest) -> Iterator[Conversation | BadRecord]:
        for file in self._files:
            with file.path.open("rb") as stream:
                for row in rows(stream, file.root, file.name):
                    stop.check()
                    yield row if isinstance(row, BadRecord) else self._conversation(file, *row)

    def _conversation(self, file: RawPath, line: int, row: Any) -> Conversation | BadRecord:
        try:
            messages = self._parse(row)
        except Malformed as error:
            return BadRecord(file.root, file.name, line, error.reason)
        return Conversation(f"{self.name}:{fingerprint_of(messages).hex()[:ID_DIGITS]}", self.name, messages)


def open_sources(config: ConversationsConfig) -> list[ConversationSource]:
    """The configured sources, with their raw files found.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    names = [section.name for section in config.sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"Two sources of conversations are called {twice!r}",
            where="conversations.sources",
            mend="give each source a `name` of its own.",
        )
    return [_open(section) for section in config.sources]


def _open(section: DocstringConversations | MessagesConversations) -> ConversationSource:
    if isinstance(section, DocstringConversations):
        return LibraryQuestions(section)
    return RowFiles(section.name, section.paths, parse_messages)


def conversations_identity(config: ConversationsConfig) -> dict[str, Any]:
    """What decides about the content besides the raw files: the configuration without absolute paths and, where the
    interpreter itself is a source, which one it is. Goes into the digest and into the stage's key."""
    values = identity(config)
    for section, source in zip(values["sources"], config.sources, strict=True):
        if isinstance(source, MessagesConversations):
            section["paths"] = path_names(source.paths)
    if any(isinstance(source, DocstringConversations) for source in config.sources):
        values["interpreter"] = interpreter()
    return values
