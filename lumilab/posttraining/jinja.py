"""A chat template as Jinja text, for transformers and what reads its format, made of the renderer's own tables.

Ids and, through `{% generation %}`, masks are the renderer's. Messages are `{"role", "content"}`; an answer may have
`reasoning_content`, its think block (one at the beginning of the content is found too), and `weight`: 0 for an answer
that is not to be trained, as in OpenAI's fine-tuning format.

What differs is text that spells a special token. A Jinja template makes one string, in which a typed `<|im_end|>` and
the template's own cannot be told apart, so transformers makes special tokens of both where the renderer keeps the
typed one as text. No setting of the tokenizer changes that: `split_special_tokens` makes text of the template's own
tokens too. transformers' `apply_chat_template(..., sanitize_control_tokens=True)` keeps typed ones as text; it cuts
the text around them, which may give other ids of the same text there, and gives no mask.

Masks are found by offsets in the text, and two kinds of tokenizer have offsets that miss. One that trims them (that of
GPT-NeoX, of Llama 3) says that the space before a word is in no token; a `generation` block that begins with it has no
mask at all, so for these the block begins behind the space, and a space that is a token of its own is left out of the
mask. A unigram one with byte fallback gives the bytes of a header's newline and of a following letter outside its
vocabulary the same place, and the newline is then in the mask.
"""

from __future__ import annotations

import json
from functools import partial

from lumilab.posttraining.messages import END_THINK, THINK
from lumilab.posttraining.templates import ChatForm, Template, parts_of
from lumilab.tokenizer.load import Tokenizer


def jinja_template(tokenizer: Tokenizer, form: ChatForm) -> str:
    """The text of `chat_template` for a tokenizer_config.json.

    Special tokens stand in it by name, as not every reader of templates hands them in.

    Raises:
        InputError, MismatchError: the tokenizer lacks a special token that the form needs.
    """
    template = form.template
    text = partial(_quoted, template=template, tokenizer=tokenizer)
    content = "message['content']"
    system, question = (
        _emitted(text(before), content, text(after)) for before, after in (template.system, template.question)
    )
    default = _emitted(text(template.default_system.join(template.system)))
    return "".join(
        (
            _emitted(text(template.begin)),
            f"{{%- if messages[0]['role'] != 'system' %}}{default}{{%- endif %}}" if template.default_system else "",
            "{%- for message in messages %}{%- if message['role'] == 'assistant' %}",
            _emitted(text(template.header)),
            _answer(template, form, tokenizer),
            _emitted(text(template.closing)),
            f"{{%- if not loop.last %}}{_emitted(text(template.between))}{{%- endif %}}" if template.between else "",
            "{%- elif message['role'] == 'system' %}",
            system,
            "{%- else %}",
            question,
            "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}",
            _emitted(text(template.header)),
            "{%- endif %}",
        )
    )


def _answer(template: Template, form: ChatForm, tokenizer: Tokenizer) -> str:
    """What the assistant says: its think block, if the form has any, and the answer with its end."""
    text = partial(_quoted, template=template, tokenizer=tokenizer)
    answer, end, lead = "{%- set answer = message['content'].lstrip() %}", text(template.end), text(template.lead)
    outside = ""
    if template.lead and _trims_offsets(tokenizer):
        outside, lead = _emitted(lead), '""'
    if not _thinks(template, tokenizer):
        return answer + outside + _said(f"{lead} + answer + {end}")
    opening, closing = json.dumps(THINK), json.dumps(END_THINK)
    found = (
        "{%- set thinking = message['reasoning_content'] if message['reasoning_content'] is string else '' %}"
        + answer
        + f"{{%- if not thinking and answer.startswith({opening}) and {closing} in answer %}}"
        + f"{{%- set thinking = answer.split({closing}, 1)[0].split({opening}, 1)[1] %}}"
        + f"{{%- set answer = answer.split({closing}, 1)[1].lstrip() %}}"
        + "{%- endif %}{%- set thinking = thinking.strip() %}"
    )
    if form.think == "drop":
        return found + outside + _said(f"{lead} + answer + {end}")
    before, after = template.think
    inner, role, space = after.partition("{end_think}")
    block, space = f"{text(before)} + thinking + {text(inner + role)}", text(space)
    outside = f"{{%- if not thinking %}}{outside}{{%- endif %}}" if outside else ""
    if form.think == "keep":
        kept = f"{{%- if thinking %}}{{{{- {block} }}}}{{%- endif %}}"
        return found + kept + outside + _said(f"({space} if thinking else {lead}) + answer + {end}")
    return found + outside + _said(f"({block} + {space} if thinking else {lead}) + answer + {end}")


def _thinks(template: Template, tokenizer: Tokenizer) -> bool:
    return "think" in tokenizer.roles or "think" in template.ids


def _trims_offsets(tokenizer: Tokenizer) -> bool:
    """Whether the place of a token in the text is said to begin behind its space."""
    processor = json.loads(tokenizer.to_json()).get("post_processor") or {}
    steps = processor.get("processors", [processor])
    return any(step.get("type") == "ByteLevel" and step.get("trim_offsets", True) for step in steps)


def _said(expression: str) -> str:
    """Text that is trained unless the message has no weight."""
    return (
        f"{{%- set said = {expression} %}}"
        "{%- if message['weight'] == 0 %}{{- said }}"
        "{%- else %}{%- generation %}{{- said }}{%- endgeneration %}{%- endif %}"
    )


def _emitted(*expressions: str) -> str:
    kept = [expression for expression in expressions if expression != '""']
    return "{{- " + " + ".join(kept) + " }}" if kept else ""


def _quoted(part: str, template: Template, tokenizer: Tokenizer) -> str:
    """A string of the template as a Jinja literal, with the tokenizer's names of special tokens."""
    names = (template.special_name(content, tokenizer) if is_role else content for content, is_role in parts_of(part))
    return json.dumps("".join(names), ensure_ascii=False)
