"""The files with which transformers, and what reads its format, can chat with a checkpoint folder as we do.

The chat template is given inline and the tokenizer's class is the plain one, which readers of every version know;
transformers 5 itself would write a class name and a separate template file that older ones do not.
"""

from __future__ import annotations

from lumilab.artifact import canonical_json
from lumilab.posttraining.template import CHATML_JINJA
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import tokenizer_config


def chat_files(tokenizer: Tokenizer, context: int) -> dict[str, bytes]:
    """tokenizer_config.json and generation_config.json.

    Args:
        tokenizer: the checkpoint's.
        context: most tokens the model can read.
    """
    generation_config = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": [tokenizer.im_end_id, tokenizer.eos_id],
        "pad_token_id": tokenizer.pad_id,
    }
    return {
        "tokenizer_config.json": tokenizer_config(
            tokenizer, context, chat_template=CHATML_JINJA, eos_token=tokenizer.roles["im_end"]
        ),
        "generation_config.json": canonical_json(generation_config, indent=2) + b"\n",
    }
