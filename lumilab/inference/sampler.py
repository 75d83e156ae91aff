"""Samples while a model is being trained: what the training loop calls, made of the engine.

Training may not import this room, so the pipeline hands it in.
"""

from __future__ import annotations

from collections.abc import Sequence

from lumilab.artifact import Artifact
from lumilab.inference.engine import Engine
from lumilab.inference.text import TextStream
from lumilab.model import Transformer
from lumilab.posttraining.messages import USER, Message
from lumilab.posttraining.template import render_prompt
from lumilab.posttraining.templates import DEFAULT, ChatForm
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer

SAMPLE_TOKENS = 60  # a sample is a glimpse; it must not hold up the training


class TextSampler:
    """Continues prepared prompts with the model as it is at a step; use `continue_prompts` or `answer_prompts`.

    Args:
        tokenizer: the model's.
        prompts: (what is shown, its ids).
        sampling: how tokens are drawn, at most SAMPLE_TOKENS of them.
        form: in which the model learns to chat; says where an answer ends.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompts: Sequence[tuple[str, list[int]]],
        sampling: SamplingConfig,
        form: ChatForm = DEFAULT,
    ) -> None:
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._form = form
        self._sampling = sampling.model_copy(update={"max_tokens": min(sampling.max_tokens, SAMPLE_TOKENS)})

    def __call__(self, model: Transformer, step: int) -> list[tuple[str, str]]:
        """(prompt, text) of each prompt. One longer than half the context is cut at its beginning."""
        engine = Engine(model, self._tokenizer, self._form)
        longest = engine.context // 2
        return [
            (prompt, TextStream(engine.stream(ids[-longest:], self._sampling), self._tokenizer).read())
            for prompt, ids in self._prompts
        ]


def continue_prompts(tokenizer: Artifact, prompts: Sequence[str], sampling: SamplingConfig) -> TextSampler:
    """For pretraining: continues each prompt as the beginning of a document."""
    known = Tokenizer.load(tokenizer.path)
    return TextSampler(known, [(prompt, [known.bos_id, *known.encode(prompt)]) for prompt in prompts], sampling)


def answer_prompts(
    tokenizer: Artifact, prompts: Sequence[str], sampling: SamplingConfig, form: ChatForm = DEFAULT
) -> TextSampler:
    """For fine-tuning: answers each prompt as a user's question."""
    known = Tokenizer.load(tokenizer.path)
    asked = [(prompt, render_prompt([Message(USER, prompt)], known, form)) for prompt in prompts]
    return TextSampler(known, asked, sampling, form)
