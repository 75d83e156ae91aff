"""The recipe's conversations section: where questions and answers come from, and how they become examples.

Each field says in one line what it is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lumilab.recipe.section import Section, Share, runtime, setting

TemplateName = Literal["chatml", "instruct", "chat", "alpaca", "user-assistant", "turn-ids"]
ThinkMode = Literal["train", "keep", "drop"]

_NAME = "name written into each conversation"
_WEIGHT = "how often each conversation is seen in an epoch: 2 for twice, 0.5 for every second one"


class DocstringConversations(Section):
    """Questions about the Python library, answered by its docstrings."""

    kind: Literal["docstrings"] = setting("docstrings", "built from the running interpreter's docstrings")
    name: str = setting("docstrings", _NAME)
    weight: float = setting(1.0, _WEIGHT, gt=0, le=100)


class ArithmeticConversations(Section):
    """Sums to do, made up: "37 + 48 =" and "85"."""

    kind: Literal["arithmetic"] = setting("arithmetic", "exercises in arithmetic with their results, each once")
    name: str = setting("arithmetic", _NAME)
    weight: float = setting(1.0, _WEIGHT, gt=0, le=100)
    signs: list[Literal["+", "-", "*"]] = setting(["+"], "what is done with two numbers", min_length=1)
    lowest: int = setting(10, "the lowest of the numbers", ge=0)
    highest: int = setting(99, "the highest of them", le=999_999)
    count: int = setting(10_000, "how many exercises, or all there are", ge=1)
    seed: int = setting(0, "which of all exercises, and in which order")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest ({self.lowest}) is above highest ({self.highest}): exchange them")
        return self


class RowConversations(Section):
    """What the sources that read rows have in common: files of this machine, or a dataset of the hub."""

    kind: Any
    name: str = setting(..., _NAME)
    weight: float = setting(1.0, _WEIGHT, gt=0, le=100)
    paths: list[str] = setting([], "files, folders or globs; relative paths start at the recipe's folder")
    dataset: str | None = setting(None, "where there are no paths: a dataset of the hub as OWNER/NAME")
    subset: str | None = setting(None, "which of the dataset's configurations; null for its usual one")
    revision: str = setting("main", "branch, tag or commit; the commit it stands for is what is recorded")
    folder: str | None = runtime(None, "read what `lumi corpus download` put here; null to stream from the hub")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if not self.paths and self.dataset is None:
            raise ValueError("there is nothing to read: give `paths`, or a `dataset` of the hub")
        return self


class MessagesConversations(RowConversations):
    """Conversations in the messages format."""

    kind: Literal["messages"] = setting("messages", '{"messages": [{"role", "content"}, ...]} a row, also with tools')
    name: str = setting("messages", _NAME)


class SmolTalkConversations(RowConversations):
    """SmolTalk (Allal et al. 2025), which is in the messages format."""

    kind: Literal["smoltalk"] = setting("smoltalk", "SmolTalk's messages")
    name: str = setting("smoltalk", _NAME)
    dataset: str | None = setting("HuggingFaceTB/smoltalk", "where there are no paths: its repository on the hub")
    subset: str | None = setting("all", "which of the dataset's configurations")


class AlpacaConversations(RowConversations):
    """Instructions with an answer."""

    kind: Literal["alpaca"] = setting("alpaca", '{"instruction", "input", "output"} a row, or self-instruct\'s')
    name: str = setting("alpaca", _NAME)
    dataset: str | None = setting("tatsu-lab/alpaca", "where there are no paths: a dataset of the hub")
    joint: str = setting("\n\n", 'between instruction and input; "\\n\\n### Input:\\n" is as Alpaca itself has it')


class DollyConversations(RowConversations):
    """Dolly (Databricks 2023): instructions, some with a text they are about."""

    kind: Literal["dolly"] = setting("dolly", '{"instruction", "context", "response"} a row')
    name: str = setting("dolly", _NAME)
    dataset: str | None = setting("databricks/databricks-dolly-15k", "where there are no paths: a dataset of the hub")
    joint: str = setting("\n\n", "between instruction and context")


class LimaConversations(RowConversations):
    """LIMA (Zhou et al. 2023): 1,030 conversations."""

    kind: Literal["lima"] = setting("lima", '{"conversations": [question, answer, ...]} a row')
    name: str = setting("lima", _NAME)
    dataset: str | None = setting("GAIR/lima", "where there are no paths: a dataset of the hub")


class ShareGPTConversations(RowConversations):
    """Conversations in the form of ShareGPT."""

    kind: Literal["sharegpt"] = setting(
        "sharegpt", '{"conversations": [{"from", "value"}, ...]} a row, also with tools'
    )
    name: str = setting("sharegpt", _NAME)


class OasstConversations(RowConversations):
    """OpenAssistant's trees of messages (Köpf et al. 2023), as trees or message by message."""

    kind: Literal["oasst"] = setting("oasst", "a tree a row, or a message a row with its parent_id")
    name: str = setting("oasst", _NAME)
    dataset: str | None = setting("OpenAssistant/oasst1", "where there are no paths: a dataset of the hub")
    replies: Literal["best", "all"] = setting("best", "of each tree the path of the best-ranked replies, or all paths")
    language: str | None = setting(None, "only trees whose first message is in this language, such as en; null for all")


class ColumnsConversations(RowConversations):
    """One question and one answer a row, in columns of any name."""

    kind: Literal["columns"] = setting("columns", "rows with a question and an answer under any names")
    name: str = setting("columns", _NAME)
    question: str = setting("question", "the column with the question")
    answer: str = setting("answer", "the column with the answer")
    system: str | None = setting(None, "the column with the system message; null for none")


class HHPairs(RowConversations):
    """HH-RLHF (Bai et al. 2022): two dialogues that differ in the last answer. The chosen one is the conversation."""

    kind: Literal["hh-rlhf"] = setting("hh-rlhf", '{"chosen", "rejected"} a row, each a dialogue as text')
    name: str = setting("hh-rlhf", _NAME)
    dataset: str | None = setting("Anthropic/hh-rlhf", "where there are no paths: a dataset of the hub")


class UltraFeedbackPairs(RowConversations):
    """UltraFeedback, binarised: two lists of messages. Here the chosen one is the conversation."""

    kind: Literal["ultrafeedback"] = setting("ultrafeedback", '{"chosen", "rejected"} a row, each a list of messages')
    name: str = setting("ultrafeedback", _NAME)
    dataset: str | None = setting(
        "HuggingFaceH4/ultrafeedback_binarized", "where there are no paths: a dataset of the hub"
    )


class PromptPairs(RowConversations):
    """A prompt with two answers. Here the chosen one is the conversation's."""

    kind: Literal["pairs"] = setting(
        "pairs",
        '{"prompt", "chosen", "rejected"} a row, as text or messages; "instruction" or "conversations" for the prompt '
        "do too",
    )
    name: str = setting("pairs", _NAME)


class JudgedConversations(RowConversations):
    """Conversations that somebody found good or bad (KTO's form). Here the good ones are the conversations."""

    kind: Literal["judged"] = setting("judged", '{"messages", "label"} a row, or prompt, completion and label')
    name: str = setting("judged", _NAME)


PairSource = Annotated[HHPairs | UltraFeedbackPairs | PromptPairs, Field(discriminator="kind")]
ConversationSource = Annotated[
    DocstringConversations
    | ArithmeticConversations
    | MessagesConversations
    | AlpacaConversations
    | ShareGPTConversations
    | OasstConversations
    | LimaConversations
    | DollyConversations
    | SmolTalkConversations
    | ColumnsConversations
    | HHPairs
    | UltraFeedbackPairs
    | PromptPairs
    | JudgedConversations,
    Field(discriminator="kind"),
]


class ConversationsConfig(Section):
    """Raw conversations to rendered examples with a mask of what is trained."""

    sources: list[ConversationSource] = setting(..., "where the conversations come from", min_length=1)
    template: TemplateName = setting("chatml", "how messages become tokens; the model is asked in the same form")
    think: ThinkMode = setting(
        "train", "what becomes of <think> blocks: trained, kept without being trained, or dropped"
    )
    max_tokens: int | None = setting(None, "longer conversations are dropped; null for the window's length", ge=8)
    min_tokens: int = setting(0, "shorter conversations are dropped", ge=0)
    min_turns: int = setting(2, "conversations of fewer messages than this, without the system's, are dropped", ge=2)
    max_turns: int = setting(100, "rows of more messages than this are refused", ge=2)
    max_message: int = setting(200_000, "rows with a longer message than this, in characters, are refused", ge=1)
    max_bad_share: Share = runtime(0.05, "fail when more than this share of a source's rows is refused")
    validation_share: float = setting(0.1, "share of the conversations kept for validation", gt=0, lt=1)
    limit: int | None = setting(None, "keep at most this many conversations (for trials)", ge=1)
