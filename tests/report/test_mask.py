"""Examples with what is trained marked: the marks by hand, with colour and without."""

from __future__ import annotations

import io

from rich.console import Console

from lumilab.posttraining.messages import ASSISTANT, USER, Message
from lumilab.posttraining.template import render
from lumilab.posttraining.templates import ChatForm
from lumilab.report.mask import masked_text
from lumilab.tokenizer.load import Tokenizer

MESSAGES = [Message(USER, "Q [bold]"), Message(ASSISTANT, "A"), Message(USER, "R"), Message(ASSISTANT, "B", "T")]


def test_what_is_trained_stands_between_marks(tokenizer: Tokenizer) -> None:
    text = masked_text(render(MESSAGES, tokenizer, ChatForm.named("user-assistant", "keep")), tokenizer)
    assert text.plain == (
        "<|bos|>User: Q [bold]\nAssistant:⟦ A<|endoftext|>⟧<|bos|>User: R\nAssistant:<think>\nT\n</think>"
        "⟦\n\nB<|endoftext|>⟧"
    )


def test_in_colour_it_is_green(tokenizer: Tokenizer) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=200)
    console.print(masked_text(render(MESSAGES[:2], tokenizer), tokenizer))
    assert "\x1b[1;32m⟦A<|im_end|>⟧" in out.getvalue()
