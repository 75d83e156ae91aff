"""The files with which transformers, and what reads its format, can chat with a checkpoint folder as we do.

The chat template is given inline and the tokenizer's class is the plain one, which readers of every version know;
transformers 5 itself would write a class name and a separate template file that older ones do not. `chat.json` names
the form for lumilab itself, so that a checkpoint is asked as it was taught.
"""

from __future__ import annotations

import json
from pathlib import Path

from lumilab.artifact import canonical_json
from lumilab.errors import ConfigError, DamageError
from lumilab.posttraining.jinja import jinja_template
from lumilab.posttraining.templates import DEFAULT, ChatForm
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import tokenizer_config

FORM_FILE = "chat.json"


def chat_files(tokenizer: Tokenizer, context: int, form: ChatForm = DEFAULT) -> dict[str, bytes]:
    """tokenizer_config.json, generation_config.json and chat.json.

    Args:
        tokenizer: the checkpoint's.
        context: most tokens the model can read.
        form: how the model was taught to chat.

    Raises:
        InputError, MismatchError: the tokenizer lacks a special token that the form needs.
    """
    names = tokenizer.special_names
    end, pad = form.template.end_id(tokenizer), form.template.special_id("pad", tokenizer)
    generation_config = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": list(dict.fromkeys((end, tokenizer.eos_id))),
        "pad_token_id": pad,
    }
    tokenizer_file = tokenizer_config(
        tokenizer, context, chat_template=jinja_template(tokenizer, form), eos_token=names[end], pad_token=names[pad]
    )
    stored = {"template": form.template.name, "think": form.think}
    return {
        "tokenizer_config.json": tokenizer_file,
        "generation_config.json": canonical_json(generation_config, indent=2) + b"\n",
        FORM_FILE: canonical_json(stored, indent=2) + b"\n",
    }


def stored_form(checkpoint: Path) -> ChatForm:
    """The form that a checkpoint was taught; ChatML for one that names none.

    Raises:
        DamageError: its chat.json cannot be read.
    """
    path = checkpoint / FORM_FILE
    try:
        stored = json.loads(path.read_bytes())
        return ChatForm.named(stored["template"], stored["think"])
    except FileNotFoundError:
        return DEFAULT
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise DamageError(
            f"The form in which this model chats cannot be read: {error}", where=str(path), mend="restore the file."
        ) from error
