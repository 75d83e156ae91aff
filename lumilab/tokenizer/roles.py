"""Which token plays which part: the beginning and end of a text, padding, the turn markers of a chat.

Tokenizers learned here have reserved names for these. One that was learned elsewhere has names of its own: `<s>`,
`<|begin_of_text|>`, `[PAD]`. The known names are tried in order. Where a file that came along with a tokenizer
declares others, the import writes a table of them into the one place of the `tokenizer.json` format that is meant for
naming special tokens, the `special_tokens` of a template post-processor; a template that does not use an entry is not
changed by it.

Only added tokens count, so that a piece of the vocabulary that happens to be spelled like a marker is never one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lumilab.tokenizer import special_tokens

KNOWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "pad": (special_tokens.PAD, "<pad>", "[PAD]", "<|padding|>", "<|finetune_right_pad_id|>", "<｜▁pad▁｜>"),
    "bos": (
        special_tokens.BOS, "<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", "<｜begin▁of▁sentence｜>", "[BOS]",
        "<|beginoftext|>", "[CLS]",
    ),
    "eos": (
        special_tokens.EOS, "</s>", "<|end_of_text|>", "<eos>", "<｜end▁of▁sentence｜>", "[EOS]", "[SEP]",
    ),
    "unk": (special_tokens.UNK, "<unk>", "[UNK]"),
    "im_start": (special_tokens.IM_START,),
    "im_end": (special_tokens.IM_END,),
    "think": (special_tokens.THINK,),
    "end_think": (special_tokens.END_THINK,),
}  # fmt: skip
"""For each role the names it goes by, the most telling first; the first is the one used here."""

STAND_INS: Mapping[str, str] = {"bos": "eos"}
"""Who plays a role that nobody has: GPT-2 and its descendants mark both ends of a text with one token."""

TABLE_PREFIX = "role:"


def roles_of(definition: Mapping[str, Any]) -> dict[str, str]:
    """The name of the token of each role that somebody plays.

    Args:
        definition: a parsed `tokenizer.json`.
    """
    added = {token["content"] for token in definition.get("added_tokens") or []}
    found = {role: name for role, name in _declared(definition) if name in added}
    for role, names in KNOWN_NAMES.items():
        known = next((name for name in names if name in added), None)
        if known is not None:
            found.setdefault(role, known)
    for role, other in STAND_INS.items():
        if other in found:
            found.setdefault(role, found[other])
    return found


def declare_roles(definition: Mapping[str, Any], roles: Mapping[str, str], ids: Mapping[str, int]) -> dict[str, Any]:
    """The definition with a table of roles, for names that would not be known otherwise.

    Args:
        definition: a parsed `tokenizer.json`; not changed.
        roles: names of tokens by role.
        ids: of these names.
    """
    table = {
        f"{TABLE_PREFIX}{role}": {"id": f"{TABLE_PREFIX}{role}", "ids": [ids[name]], "tokens": [name]}
        for role, name in sorted(roles.items())
    }
    template = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": table,
    }
    existing = definition.get("post_processor")
    if existing is None:
        return {**definition, "post_processor": template}
    if existing["type"] == "TemplateProcessing":
        joined = existing | {"special_tokens": existing["special_tokens"] | table}
        return {**definition, "post_processor": joined}
    steps = existing["processors"] if existing["type"] == "Sequence" else [existing]
    return {**definition, "post_processor": {"type": "Sequence", "processors": [*steps, template]}}


def _declared(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    processor = definition.get("post_processor") or {}
    for step in [processor, *processor.get("processors", [])]:
        if step.get("type") == "TemplateProcessing":
            for name, entry in step["special_tokens"].items():
                if name.startswith(TABLE_PREFIX):
                    yield name.removeprefix(TABLE_PREFIX), entry["tokens"][0]
