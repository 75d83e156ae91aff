"""Samples while a model is being trained: what the training loop calls, made of the engine.

Training may not import this room, so the pipeline hands it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lumilab.artifact import Artifact
from lumilab.inference.engine import Engine
from lumilab.inference.text import TextStream
from lumilab.model import Transformer
from lumilab.posttraining.answers import Question, held_back_questions, keeps_form
from lumilab.posttraining.messages import USER, Message
from lumilab.posttraining.template import answer_text, render_prompt
from lumilab.posttraining.templates import DEFAULT, ChatForm
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.run import Sample

SAMPLE_TOKENS = 60  # a sample is a glimpse; it must not hold up the training
ANSWER_TOKENS = 128  # an answer has to come to its end, or its form cannot be judged


class TextSampler:
    """Continues prepared prompts with the model as it is at a step; use `continue_prompts`.

    Args:
        tokenizer: the model's.
        prompts: (what is shown, its ids).
        sampling: how tokens are drawn, at most SAMPLE_TOKENS of them.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompts: Sequence[tuple[str, list[int]]], sampling: SamplingConfig
    ) -> None:
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._sampling = _at_most(SAMPLE_TOKENS, sampling)

    def __call__(self, model: Transformer, step: int) -> list[Sample]:
        """A text for each prompt. One longer than half the context is cut at its beginning."""
        engine = Engine(model, self._tokenizer)
        longest = engine.context // 2
        return [
            Sample(prompt, TextStream(engine.stream(ids[-longest:], self._sampling), self._tokenizer).read())
            for prompt, ids in self._prompts
        ]


class AnswerSampler:
    """Answers prepared questions with the model as it is at a step; use `answer_prompts`.

    Args:
        tokenizer: the model's.
        questions: what to answer.
        sampling: how tokens are drawn, at most ANSWER_TOKENS of them.
        form: in which the model learns to chat.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        questions: Sequence[Question],
        sampling: SamplingConfig,
        form: ChatForm,
    ) -> None:
        self._tokenizer = tokenizer
        self._questions = questions
        self._form = form
        self._sampling = _at_most(ANSWER_TOKENS, sampling)

    def __call__(self, model: Transformer, step: int) -> list[Sample]:
        """An answer to each question. One longer than half the context is cut at its beginning."""
        return list(answer_questions(Engine(model, self._tokenizer, self._form), self._questions, self._sampling))


def answer_questions(engine: Engine, questions: Sequence[Question], sampling: SamplingConfig) -> Iterator[Sample]:
    """The model's answers, each with whether it has the form that the engine asks in.

    A question longer than half the context is cut at its beginning.
    """
    longest, end = engine.context // 2, engine.form.template.end_id(engine.tokenizer)
    for asked in questions:
        stream = engine.stream(asked.ids[-longest:], sampling, stop_ids=(end,))
        ids = list(stream)
        whole = [*ids, end] if stream.finish_reason == "stop" else ids
        text = answer_text(ids, engine.tokenizer, engine.form)
        yield Sample(asked.text, text, asked.reference, keeps_form(whole, engine.tokenizer, engine.form))


def continue_prompts(tokenizer: Artifact, prompts: Sequence[str], sampling: SamplingConfig) -> TextSampler:
    """For pretraining: continues each prompt as the beginning of a document."""
    known = Tokenizer.load(tokenizer.path)
    return TextSampler(known, [(prompt, [known.bos_id, *known.encode(prompt)]) for prompt in prompts], sampling)


def answer_prompts(
    tokenizer: Artifact,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    form: ChatForm = DEFAULT,
    held_back: tuple[Artifact, int] | None = None,
) -> AnswerSampler:
    """For fine-tuning: answers each prompt as a user's question.

    Args:
        held_back: conversations, and how many questions of their validation split are answered as well.
    """
    known = Tokenizer.load(tokenizer.path)
    asked = [Question(prompt, render_prompt([Message(USER, prompt)], known, form)) for prompt in prompts]
    asked += held_back_questions(held_back[0], known, held_back[1]) if held_back else []
    return AnswerSampler(known, asked, sampling, form)


def _at_most(tokens: int, sampling: SamplingConfig) -> SamplingConfig:
    return sampling.model_copy(update={"max_tokens": min(sampling.max_tokens, tokens)})
