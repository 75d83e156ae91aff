"""OpenAssistant's trees of messages: a first message, ranked replies to it, replies to those (Köpf et al. 2023).

They are published whole, a tree a row with its replies inside, and message by message, each naming its parent. Either
way a tree becomes paths from its first message down to an answer: the path of the best-ranked replies, or every path.
A message that was deleted or did not pass review is left out with all replies to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lumilab.corpus.document import BadRecord
from lumilab.posttraining.messages import ASSISTANT, USER, Malformed, Message, conversation_of, object_of, text_of
from lumilab.posttraining.pairs import LeftOut
from lumilab.posttraining.rows import RefusedRow, Row

_ROLES = {"prompter": USER, "assistant": ASSISTANT, "user": USER}
Path = tuple[Message, ...]


@dataclass
class _Node:
    """A message with the replies to it."""

    message: Message
    rank: float
    usable: bool
    language: str | None
    replies: list[_Node] = field(default_factory=list)


@dataclass(frozen=True)
class TreePaths:
    """Reads trees.

    Attributes:
        replies: which paths of a tree are wanted.
        language: of the first message; None for any.
    """

    replies: Literal["best", "all"] = "best"
    language: str | None = None

    def read(self, rows: Iterable[Row | BadRecord]) -> Iterator[tuple[Row, list[Path]] | BadRecord | LeftOut]:
        """The paths of each tree with the row its first message stands in. Trees of single messages come at the end."""
        singles: dict[str, tuple[Row, str | None, _Node]] = {}
        for row in rows:
            if isinstance(row, BadRecord):
                yield row
                continue
            try:
                fields = object_of(row.value)
                if "prompt" in fields and "parent_id" not in fields:
                    yield self._found(row, _tree(object_of(fields["prompt"])))
                else:
                    node = _node(fields)
                    parent = fields.get("parent_id")
                    singles[text_of(fields, "message_id")] = row, parent if isinstance(parent, str) else None, node
            except Malformed as error:
                yield row.refused(error.reason, error.detail)
        yield from self._assembled(singles)

    def _assembled(
        self, singles: dict[str, tuple[Row, str | None, _Node]]
    ) -> Iterator[tuple[Row, list[Path]] | RefusedRow | LeftOut]:
        for row, parent, node in singles.values():
            if parent is not None and parent in singles:
                singles[parent][2].replies.append(node)
            elif parent is not None:
                yield row.refused("no parent", f"there is no message {parent}, to which this is a reply")
        for row, parent, node in singles.values():
            if parent is None:
                yield self._found(row, node)

    def _found(self, row: Row, tree: _Node) -> tuple[Row, list[Path]] | RefusedRow | LeftOut:
        if self.language is not None and tree.language != self.language:
            return LeftOut("another language")
        paths = [path for path in _paths(tree, best=self.replies == "best") if path]
        if not paths:
            return LeftOut("no answer")
        try:
            return row, list(dict.fromkeys(conversation_of(path) for path in paths))
        except Malformed as error:
            return row.refused(error.reason, error.detail)


def _tree(fields: dict[str, Any]) -> _Node:
    """A message with all replies below it. The stack is our own, because a tree in a file may be of any depth."""
    root = _node(fields)
    waiting = [(root, fields)]
    while waiting:
        node, entry = waiting.pop()
        for reply in entry.get("replies") or []:
            child = _node(object_of(reply))
            node.replies.append(child)
            waiting.append((child, reply))
    return root


def _node(fields: dict[str, Any]) -> _Node:
    role = fields.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise Malformed("unknown role", f"a message has role {role!r}; known are {', '.join(_ROLES)}")
    rank, language = fields.get("rank"), fields.get("lang")
    return _Node(
        Message(_ROLES[role], text_of(fields, "text")),
        float(rank) if isinstance(rank, int | float) else float("inf"),
        not fields.get("deleted") and fields.get("review_result") is not False,
        language if isinstance(language, str) else None,
    )


def _paths(tree: _Node, *, best: bool) -> Iterator[Path]:
    """The ways down, each cut behind its last answer. The smallest rank is the best; equal ones by their order."""
    waiting: list[tuple[_Node, Path]] = [(tree, ())] if tree.usable else []
    while waiting:
        node, before = waiting.pop()
        path = (*before, node.message)
        replies = sorted((reply for reply in node.replies if reply.usable), key=lambda reply: reply.rank)
        if not replies:
            yield path if path[-1].role == ASSISTANT else path[:-1]
        waiting += [(reply, path) for reply in reversed(replies[:1] if best else replies)]
