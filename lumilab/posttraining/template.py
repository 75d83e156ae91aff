"""Messages to token ids, and which of them are trained: the one renderer of training, chat, evaluation and export.

The layouts are tables (`templates.py`). Trained is what the model itself has to produce: the assistant's content and
the special token that ends its turn; without the latter it would never learn to stop.

Special ids are put between runs of plain text, and what a user types is always plain text, so a typed `<|im_end|>`
never ends a turn. In the Jinja text for other tools (`jinja.py`) that cannot be told apart, which is the one thing in
which it differs.

A run of text is encoded as a whole, header and answer together, as a Jinja template would have it; the mask begins
where the header's own tokens end. An answer's leading white space is dropped: the newline of the header would
otherwise fuse with it into one token, half of it trained, that the model could never be asked to produce.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from lumilab.posttraining.messages import ASSISTANT, END_THINK, SYSTEM, THINK, Message
from lumilab.posttraining.templates import DEFAULT, ChatForm, parts_of
from lumilab.tokenizer.load import Tokenizer


@dataclass(frozen=True)
class Rendered:
    """A conversation as token ids, and for each whether the model is trained to produce it (equal lengths)."""

    ids: list[int]
    trained: list[bool]


@dataclass(frozen=True)
class _Piece:
    """Some text, or (when `content` is a number) one special id."""

    content: str | int
    trained: bool = False


@dataclass(frozen=True)
class _Run:
    """The text between two special ids: the part that is not trained, then the part that is."""

    untrained: str
    trained: str


def render(messages: Sequence[Message], tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> Rendered:
    """The ids of a conversation and their mask.

    Args:
        messages: as `parse_messages` accepts them, or the beginning of such.
        tokenizer: turns text into ids.
        form: the layout, and what becomes of think blocks.

    Raises:
        InputError, MismatchError: the tokenizer lacks a special token that the form needs.
    """
    return render_many([messages], tokenizer, form)[0]


def render_many(
    conversations: Sequence[Sequence[Message]], tokenizer: Tokenizer, form: ChatForm = DEFAULT
) -> list[Rendered]:
    """`render` of each conversation; the texts of all are encoded in one batch."""
    renderer = _Renderer(tokenizer, form)
    return renderer.encode([renderer.conversation(messages) for messages in conversations])


def render_prompt(
    messages: Sequence[Message], tokenizer: Tokenizer, form: ChatForm = DEFAULT, *, continued: bool = False
) -> list[int]:
    """The ids of a conversation so far and of the header after which the assistant answers.

    Args:
        messages: the last is the user's.
        tokenizer, form: as for `render`.
        continued: the messages follow an answer that is rendered already, with `end_of_turn` behind it.
    """
    renderer = _Renderer(tokenizer, form)
    pieces = chain(renderer.conversation(messages, continued), renderer.part(form.template.header))
    return renderer.encode([pieces])[0].ids


def end_of_turn(tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> list[int]:
    """The ids behind an answer's content: its end, and what belongs to it and not to the next question."""
    renderer = _Renderer(tokenizer, form)
    return renderer.encode([renderer.part(form.template.end + form.template.closing)])[0].ids


def end_of_thinking(tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> list[int]:
    """The ids that end a think block, up to its special token."""
    before, role, _ = form.template.think[1].partition("{end_think}")
    renderer = _Renderer(tokenizer, form)
    return renderer.encode([renderer.part(before + role)])[0].ids


def think_marks(tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> tuple[int, int] | None:
    """The ids that begin and end a think block; None where the tokenizer has none."""
    if "think" not in form.template.ids and not {"think", "end_think"} <= tokenizer.roles.keys():
        return None
    return form.template.special_id("think", tokenizer), form.template.special_id("end_think", tokenizer)


def answer_text(ids: Sequence[int], tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> str:
    """What an answer says: without special tokens, but with think blocks between `<think>` and `</think>`."""
    marks = think_marks(tokenizer, form)
    shown = dict(zip(marks, (THINK, END_THINK), strict=True)) if marks else {}
    runs = groupby(ids, key=lambda token: token if token in shown else None)
    texts = (tokenizer.decode(run) if mark is None else shown[mark] * len(list(run)) for mark, run in runs)
    return "".join(texts).strip()


class _Renderer:
    """A form with a tokenizer."""

    def __init__(self, tokenizer: Tokenizer, form: ChatForm) -> None:
        self._tokenizer = tokenizer
        self._template = form.template
        self._think = form.think

    # --- messages to pieces ------------------------------------------------------------------------------------------

    def conversation(self, messages: Sequence[Message], continued: bool = False) -> Iterator[_Piece]:
        """The pieces in order; `continued` as for `render_prompt`."""
        template = self._template
        if not continued:
            yield from self.part(template.begin)
            if template.default_system and not (messages and messages[0].role == SYSTEM):
                yield from self._between(template.system, template.default_system)
        after_answer = continued
        for message in messages:
            if message.role == ASSISTANT:
                yield from self.part(template.header)
                yield from self._answer(message)
                yield from self.part(template.closing)
            else:
                if after_answer:
                    yield from self.part(template.between)
                around = template.system if message.role == SYSTEM else template.question
                yield from self._between(around, message.content)
            after_answer = message.role == ASSISTANT

    def _answer(self, message: Message) -> Iterator[_Piece]:
        answer = message.content.lstrip()
        before, after = self._template.think
        if not (message.thinking and message.thinking.strip()) or self._think == "drop":
            yield _Piece(self._template.lead + answer, message.trained)
        else:
            trained = message.trained and self._think == "train"
            yield from self.part(before, trained)
            yield _Piece(message.thinking.strip(), trained)
            # What parts the block from the answer is the answer's: after the end of a block the model is on its own.
            end, role, space = after.partition("{end_think}")
            yield from self.part(end + role, trained)
            yield _Piece(space + answer, message.trained)
        yield from self.part(self._template.end, message.trained)

    def _between(self, around: tuple[str, str], content: str) -> Iterator[_Piece]:
        before, after = around
        yield from self.part(before)
        yield _Piece(content)
        yield from self.part(after)

    def part(self, text: str, trained: bool = False) -> Iterator[_Piece]:
        """A string of the template."""
        for content, is_role in parts_of(text):
            yield _Piece(self._template.special_id(content, self._tokenizer) if is_role else content, trained)

    # --- pieces to ids -----------------------------------------------------------------------------------------------

    def encode(self, conversations: Sequence[Iterator[_Piece]]) -> list[Rendered]:
        """The ids and masks of each; all texts go to the tokenizer at once."""
        parts = [list(_joined(pieces)) for pieces in conversations]
        texts: list[str] = []
        for part in chain.from_iterable(parts):
            if isinstance(part, _Run):
                texts += [part.untrained + part.trained, part.untrained] if part.trained else [part.untrained]
        encoded = iter(self._tokenizer.encode_batch(texts))
        return [self._assemble(part, encoded) for part in parts]

    def _assemble(self, parts: Sequence[_Run | _Piece], encoded: Iterator[list[int]]) -> Rendered:
        ids: list[int] = []
        trained: list[bool] = []
        for part in parts:
            if isinstance(part, _Piece):
                assert isinstance(part.content, int)
                new, untrained = [part.content], 0 if part.trained else 1
            elif part.trained:
                new, header = next(encoded), next(encoded)
                if new[: len(header)] != header:  # a token spans both: the header's ids are what a prompt has
                    new = header + self._tokenizer.encode(part.trained)
                untrained = len(header)
            else:
                new = next(encoded)
                untrained = len(new)
            ids += new
            trained += [False] * untrained + [True] * (len(new) - untrained)
        return Rendered(ids, trained)


def _joined(pieces: Iterator[_Piece]) -> Iterator[_Run | _Piece]:
    """Special ids as they are, and all the text between two of them as one run."""
    for is_text, group in groupby(pieces, key=lambda piece: isinstance(piece.content, str)):
        if is_text:
            run = list(group)
            texts = ("".join(str(piece.content) for piece in run if piece.trained is flag) for flag in (False, True))
            yield _Run(*texts)
        else:
            yield from group
