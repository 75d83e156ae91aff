"""The chat templates, as data: what stands before, between and after the contents of a conversation's messages.

Both the renderer (`template.py`) and the Jinja text for other tools (`jinja.py`) are made of these tables, so neither
can know something that the other does not. A part may name special tokens by role in braces, `{eos}`; whose token that
is, is the tokenizer's affair (`lumilab.tokenizer.roles`), so one template serves every tokenizer.

ChatML is OpenAI's of 2023, as Qwen uses it. `instruct` and `alpaca` have the headings of Stanford Alpaca (Taori et al.
2023), `chat` the names of HH-RLHF (Bai et al. 2022). In all of them an answer ends with a special token: a model can
only learn to stop with a token that a text can never spell.

A header that an answer follows ends with a newline or a colon, and after a colon the space belongs to the answer. So
the header's tokens are the same with and without the answer behind it, in every tokenizer that cuts text at line ends
and before words; otherwise a model would be asked to go on from tokens that it never saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lumilab.errors import ConfigError, MismatchError
from lumilab.recipe.conversations import TemplateName, ThinkMode
from lumilab.tokenizer.load import Tokenizer

_SPECIAL = re.compile(r"\{(\w+)\}")

Part = tuple[str, bool]
"""A piece of a template: text and False, or the role of a special token and True."""


@dataclass(frozen=True)
class Template:
    """How a conversation is laid out. All strings are parts: text with roles in braces.

    Attributes:
        name: as in the recipe.
        question: before and after what the user says.
        header: between a question and its answer; not trained.
        end: ends an answer; trained.
        lead: the first characters of an answer without a think block; trained.
        closing: after the end of an answer.
        between: before a question that follows an answer.
        begin: before everything.
        system: before and after the system message.
        default_system: what stands there when there is no system message.
        think: before and after a think block.
        ids: token ids of roles, for models whose ids have a meaning by convention; others are the tokenizer's.
    """

    name: TemplateName
    question: tuple[str, str]
    header: str
    end: str
    lead: str = ""
    closing: str = ""
    between: str = ""
    begin: str = ""
    system: tuple[str, str] = ("", "\n\n")
    default_system: str = ""
    think: tuple[str, str] = ("{think}\n", "\n{end_think}\n\n")
    ids: Mapping[str, int] = field(default_factory=dict)

    def special_id(self, role: str, tokenizer: Tokenizer) -> int:
        """The id of the token that plays a role in this template.

        Raises:
            InputError: the tokenizer has none.
            MismatchError: the id that the template wants is no special token's in this tokenizer.
        """
        token = self.ids.get(role)
        if token is None:
            return tokenizer.role_id(role)
        if token not in tokenizer.special_names:
            raise MismatchError(
                f"The template {self.name} marks {role.replace('_', ' ')} with token {token}, which in this tokenizer "
                "is no special token but a piece of text",
                where=tokenizer.where,
                mend="use a tokenizer whose first ids are reserved, or another conversations.template.",
            )
        return token

    def special_name(self, role: str, tokenizer: Tokenizer) -> str:
        """The name of that token; raises what `special_id` raises."""
        return tokenizer.special_names[self.special_id(role, tokenizer)]

    def end_id(self, tokenizer: Tokenizer) -> int:
        """The id with which an answer ends; raises what `special_id` raises."""
        ((role, _),) = parts_of(self.end)
        return self.special_id(role, tokenizer)


@dataclass(frozen=True)
class ChatForm:
    """A template and what becomes of think blocks: all that decides how a conversation is rendered, besides the
    tokenizer. It is stored with a checkpoint, so that it is asked as it was taught.

    Attributes:
        template: the layout.
        think: "train" the blocks, "keep" them without training them, or "drop" them.
    """

    template: Template
    think: ThinkMode = "train"

    @classmethod
    def named(cls, template: str, think: ThinkMode = "train") -> ChatForm:
        """The form with a template's name.

        Raises:
            ConfigError: there is no such template.
        """
        if template not in TEMPLATES:
            raise ConfigError(
                f"There is no chat template {template!r}",
                where="conversations.template",
                mend=f"the templates are {', '.join(TEMPLATES)}.",
            )
        return cls(TEMPLATES[template], think)


def parts_of(text: str) -> Iterator[Part]:
    """Takes a template's string apart into text and roles."""
    place = 0
    for match in _SPECIAL.finditer(text):
        if match.start() > place:
            yield text[place : match.start()], False
        yield match[1], True
        place = match.end()
    if place < len(text):
        yield text[place:], False


CHATML = Template(
    "chatml",
    system=("{im_start}system\n", "{im_end}\n"),
    question=("{im_start}user\n", "{im_end}\n"),
    header="{im_start}assistant\n",
    end="{im_end}",
    closing="\n",
)
INSTRUCT = Template(
    "instruct",
    begin="{bos}",
    question=("### Instruction:\n", "\n\n"),
    header="### Response:\n",
    end="{eos}",
    between="\n\n",
)
ALPACA = Template(
    "alpaca",
    begin="{bos}",
    default_system=(
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    ),
    question=("### Instruction:\n", "\n\n"),
    header="### Response:\n",
    end="{eos}",
    between="\n\n",
)
CHAT = Template(
    "chat", begin="{bos}", question=("Human: ", "\n\n"), header="Assistant:", lead=" ", end="{eos}", between="\n\n"
)
# Each exchange is a text of its own between the beginning and the end of one: <s>User: ...\nAssistant: ...</s>
USER_ASSISTANT = Template(
    "user-assistant",
    begin="{bos}",
    system=("", "\n"),
    question=("User: ", "\n"),
    header="Assistant:",
    lead=" ",
    end="{eos}",
    between="{bos}",
)
# Two turns without a word between them: a question ends with id 1 and an answer with id 2, 7 and 8 enclose what the
# model thinks, and 0 fills up. For models that were taught so.
TURN_IDS = Template(
    "turn-ids",
    question=("", "{question_end}"),
    header="",
    end="{answer_end}",
    think=("{think}", "{end_think}"),
    ids={"pad": 0, "question_end": 1, "answer_end": 2, "think": 7, "end_think": 8},
)

TEMPLATES: Mapping[str, Template] = {
    template.name: template for template in (CHATML, INSTRUCT, CHAT, ALPACA, USER_ASSISTANT, TURN_IDS)
}
DEFAULT = ChatForm(CHATML)
