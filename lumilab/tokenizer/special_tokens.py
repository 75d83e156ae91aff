"""The reserved tokens: the first ids of every vocabulary learned here, the same for every model.

Fixed ids let a chat template, a checkpoint and an exported file agree without looking anything up. The turn markers
are ChatML's (OpenAI, 2023), the thinking markers those of the Qwen3 and DeepSeek-R1 templates. The spare ones can be
given a meaning later, for example to tools, without changing the size of an embedding.
"""

from __future__ import annotations

PAD = "<|pad|>"
BOS = "<|bos|>"
EOS = "<|endoftext|>"
UNK = "<|unk|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
THINK = "<think>"
END_THINK = "</think>"

SPARE_COUNT = 64

RESERVED: tuple[str, ...] = (
    PAD,
    BOS,
    EOS,
    UNK,
    IM_START,
    IM_END,
    THINK,
    END_THINK,
    *(f"<|spare_{number}|>" for number in range(SPARE_COUNT)),
)
"""Reserved tokens in the order of their ids, from 0."""
