"""Messages to token ids, and which of them are trained: the one renderer of training, chat and export.

The form is ChatML (OpenAI, 2023; as in Qwen): each message is `<|im_start|>role`, a newline, the content,
`<|im_end|>` and a newline. Trained is what the model itself has to produce: the assistant's content and the
`<|im_end|>` that ends its turn; without the latter it would never learn to stop.

CHATML_JINJA is the same for readers of the Hugging Face form. Its ids and, through `{% generation %}`, its mask are
the renderer's, except for text that spells a special token: a Jinja template makes one string, in which a typed
`<|im_end|>` and a real one cannot be told apart, while here the special ids are inserted between pieces of plain text
and what a user types stays text.

An answer's leading white space is dropped. The newline before it would otherwise fuse with it into one token, half of
it trained, that the model could never be asked to produce after the header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from lumilab.posttraining.messages import ASSISTANT, Message
from lumilab.tokenizer.load import Tokenizer

CHATML_JINJA = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- generation %}{{- message['content'].lstrip() + '<|im_end|>' }}{%- endgeneration %}"
    "{{- '\\n' }}"
    "{%- else %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


@dataclass(frozen=True)
class Rendered:
    """A conversation as token ids, and for each whether the model is trained to produce it (equal lengths)."""

    ids: list[int]
    trained: list[bool]


@dataclass(frozen=True)
class _Piece:
    """A run of text between special ids, or (when `content` is a number) one special id."""

    content: str | int
    trained: bool = False


def render(messages: Sequence[Message], tokenizer: Tokenizer) -> Rendered:
    """The ids of a conversation and their mask."""
    return render_many([messages], tokenizer)[0]


def render_many(conversations: Sequence[Sequence[Message]], tokenizer: Tokenizer) -> list[Rendered]:
    """`render` of each conversation; the texts of all are encoded in one batch."""
    pieces = [list(_conversation_pieces(messages, tokenizer)) for messages in conversations]
    texts = [piece.content for piece in chain.from_iterable(pieces) if isinstance(piece.content, str)]
    encoded = iter(tokenizer.encode_batch(texts))
    return [_join(parts, encoded) for parts in pieces]


def render_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """The ids of a conversation so far and of the header after which the assistant answers."""
    return render(messages, tokenizer).ids + answer_header(tokenizer)


def answer_header(tokenizer: Tokenizer) -> list[int]:
    """The ids after which the assistant's content begins."""
    return [tokenizer.im_start_id, *tokenizer.encode(f"{ASSISTANT}\n")]


def end_of_turn(tokenizer: Tokenizer) -> list[int]:
    """The ids between the end of a message's content and the next message."""
    return [tokenizer.im_end_id, *tokenizer.encode("\n")]


def _conversation_pieces(messages: Sequence[Message], tokenizer: Tokenizer) -> Iterator[_Piece]:
    for message in messages:
        yield _Piece(tokenizer.im_start_id)
        if message.role == ASSISTANT:
            yield _Piece(f"{ASSISTANT}\n")
            yield _Piece(message.content.lstrip(), trained=True)
            yield _Piece(tokenizer.im_end_id, trained=True)
        else:
            yield _Piece(f"{message.role}\n{message.content}")
            yield _Piece(tokenizer.im_end_id)
        yield _Piece("\n")


def _join(pieces: list[_Piece], encoded: Iterator[list[int]]) -> Rendered:
    ids: list[int] = []
    trained: list[bool] = []
    for piece in pieces:
        part = [piece.content] if isinstance(piece.content, int) else next(encoded)
        ids += part
        trained += [piece.trained] * len(part)
    return Rendered(ids, trained)
