"""The files with which transformers, and what reads its format, can chat with a checkpoint folder as we do.

The chat template is given inline and the tokenizer's class is the plain one, which readers of every version know;
transformers 5 itself would write a class name and a separate template file that older ones do not.
"""

from __future__ import annotations

from lumilab.artifact import canonical_json
from lumilab.posttraining.template import CHATML_JINJA
from lumilab.tokenizer import special_tokens
from lumilab.tokenizer.load import Tokenizer


def chat_files(tokenizer: Tokenizer, context: int) -> dict[str, bytes]:
    """tokenizer_config.json and generation_config.json.

    Args:
        tokenizer: the checkpoint's.
        context: most tokens the model can read.
    """
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHATML_JINJA,
        "bos_token": special_tokens.BOS,
        "eos_token": special_tokens.IM_END,
        "pad_token": special_tokens.PAD,
        "unk_token": special_tokens.UNK,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    generation_config = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": [tokenizer.im_end_id, tokenizer.eos_id],
        "pad_token_id": tokenizer.pad_id,
    }
    contents = {"tokenizer_config.json": tokenizer_config, "generation_config.json": generation_config}
    return {name: canonical_json(content, indent=2) + b"\n" for name, content in contents.items()}
