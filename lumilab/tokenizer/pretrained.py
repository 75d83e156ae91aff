"""Taking a tokenizer that was learned elsewhere: its own ids stay as they are, and the roles it lacks are added behind.

What its files call the beginning and the end of a text is used as that. Padding, ChatML's turn markers and the thinking
markers get ids of their own at the end of the vocabulary where there are none, so that a model pretrained with it can
be made to chat. All tokens that play a role are marked special: text that spells one stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from lumilab.artifact import Artifact, ArtifactBuilder, record_raw_files
from lumilab.errors import InputError, MismatchError
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.card import characters_by_source, measure
from lumilab.tokenizer.card_page import write_card
from lumilab.tokenizer.files import FoundTokenizer, find_tokenizer
from lumilab.tokenizer.hub_files import PRESETS
from lumilab.tokenizer.load import FILE_NAME, Tokenizer
from lumilab.tokenizer.plan import MODEL_NAME, inventory_of, place_of, tokenizer_identity
from lumilab.tokenizer.probe import probe_texts
from lumilab.tokenizer.roles import KNOWN_NAMES, declare_roles, roles_of
from lumilab.tokenizer.sentencepiece_model import added_token
from lumilab.work.context import WorkContext

ADDED_ROLES = ("eos", "pad", "im_start", "im_end", "think", "end_think")


def import_tokenizer(
    config: TokenizerConfig, target: Path, context: WorkContext, corpus: Artifact | None = None, *, exact: bool = False
) -> Artifact:
    """Publishes a pretrained tokenizer as an artifact, with its card.

    Args:
        config: says where it is; its `algorithm` is "pretrained".
        target: the folder to publish.
        context: progress and stopping.
        corpus: what the card is measured on; without one it has no such figures.
        exact: add no token, so that the vocabulary keeps its size; what is missing cannot be used then.

    Raises:
        InputError: there is no tokenizer, or it cannot be read.
        MismatchError: it is not what its name promises.
        ResourceError: the hub cannot be reached.
    """
    folder = place_of(config, context)
    found = find_tokenizer(folder)
    _check_preset(config, found)
    definition = found.definition if exact else with_all_roles(found.definition, found.declared)
    tokenizer = Tokenizer(_text(found, definition), str(folder))
    own = _size(found.definition)
    differing = _differences(found, tokenizer, context)
    with ArtifactBuilder(
        target,
        kind="tokenizer",
        config={"tokenizer": tokenizer_identity(config), "exact": exact},
        inputs={"corpus": corpus} if corpus else {},
    ) as builder:
        characters = characters_by_source(corpus, context) if corpus else {}
        card = measure(tokenizer, corpus, characters, context) | {
            "algorithm": f"pretrained, from {found.form}",
            "own_vocabulary": own,
            "differs_from_sentencepiece": differing,
        }
        builder.write_bytes(FILE_NAME, tokenizer.to_json().encode())
        if found.model is not None:
            builder.write_bytes(MODEL_NAME, found.model)
        write_card(builder, card)
        files, roots = inventory_of(found)
        record_raw_files(builder, files, roots)
        builder.statistics = {
            "identity": tokenizer.identity,
            "vocabulary_size": tokenizer.vocabulary_size,
            "own_vocabulary": own,
            "bytes_per_token": card["all"]["bytes_per_token"],
        }
        return builder.publish()


def with_all_roles(definition: dict[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """A parsed `tokenizer.json` with a token for every role.

    Args:
        definition: not changed.
        declared: names by role, as files beside it say; names that it has no token for do not count.
    """
    size = _size(definition)
    ids = _ids(definition)
    named = {role: name for role, name in declared.items() if name in ids}
    by_name = {role: next((name for name in names if name in ids), None) for role, names in KNOWN_NAMES.items()}
    kept = [dict(token) for token in definition.get("added_tokens") or []]
    there = {token["content"] for token in kept}
    for name in (*named.values(), *filter(None, (by_name["eos"], by_name["unk"]))):
        if name not in there:  # in the vocabulary, and not yet known as more than a spelling
            kept.append(added_token(ids[name], name, special=True))
            there.add(name)
    known = roles_of(definition | {"added_tokens": kept}) | named
    for role in ADDED_ROLES:
        if role not in known:
            known[role] = KNOWN_NAMES[role][0]
            kept.append(added_token(size, known[role], special=True))
            size += 1
    markers = set(known.values())
    kept = [token | {"special": token["special"] or token["content"] in markers} for token in kept]
    kept.sort(key=lambda token: token["id"])
    complete = _at_their_places(definition | {"added_tokens": kept})
    untold = {role: name for role, name in known.items() if roles_of(complete).get(role) != name}
    return declare_roles(complete, untold, _ids(complete)) if untold else complete


def _check_preset(config: TokenizerConfig, found: FoundTokenizer) -> None:
    preset = PRESETS.get(config.hub or "")
    if preset is None:
        return
    size, ids = _size(found.definition), _ids(found.definition)
    wrong = [f"{name} is {ids.get(name)}, not {token}" for name, token in preset.ids.items() if ids.get(name) != token]
    if size != preset.vocabulary_size:
        wrong.insert(0, f"its vocabulary has {size:,} tokens, not {preset.vocabulary_size:,}")
    if wrong:
        raise MismatchError(
            f"What the hub has is not the tokenizer {config.hub}: {'; '.join(wrong)}",
            where=str(found.files[0]),
            mend="name another revision, or the repository itself (OWNER/NAME) if you mean what it has now.",
        )


def _differences(found: FoundTokenizer, tokenizer: Tokenizer, context: WorkContext) -> int | None:
    """How many texts of the built-in sample sentencepiece itself encodes otherwise; None where it was not asked."""
    if found.model is None:
        return None
    try:
        import sentencepiece
    except ImportError:
        return None
    theirs = sentencepiece.SentencePieceProcessor(model_proto=found.model)
    texts = [*probe_texts(), *_texts_around(found.definition)]
    ours = tokenizer.encode_reference(texts)
    different = [text for text, ids in zip(texts, ours, strict=True) if theirs.encode(text) != ids]
    if different:
        shortest = min(different, key=len)
        context.report.say(
            f"sentencepiece encodes {len(different)} of {len(texts)} odd texts otherwise than the tokenizer.json made "
            f"of its model, {shortest[:40]!r} for one; the tokenizer.json is what counts here.",
            style="yellow",
        )
    return len(different)


def _texts_around(definition: Mapping[str, Any]) -> list[str]:
    """Each added token that a text may spell, alone, and with words on both sides."""
    spelled = [token["content"] for token in definition.get("added_tokens") or [] if not token["special"]]
    return [text for name in spelled for text in (name, f"word{name}word", f"two {name} words")]


def _text(found: FoundTokenizer, definition: dict[str, Any]) -> str:
    """The file to publish: unchanged where nothing had to be."""
    if found.form == "tokenizer.json" and definition == found.definition:
        return found.files[0].read_text(encoding="utf-8")
    return json.dumps(definition, ensure_ascii=False, indent=1) + "\n"


def _size(definition: Mapping[str, Any]) -> int:
    return 1 + max(_ids(definition).values())


def _ids(definition: Mapping[str, Any]) -> dict[str, int]:
    """The id of every token by its spelling."""
    vocabulary = definition["model"].get("vocab") or {}
    ids = (
        dict(vocabulary)
        if isinstance(vocabulary, dict)
        else {entry[0]: number for number, entry in enumerate(vocabulary)}
    )
    return ids | {token["content"]: token["id"] for token in definition.get("added_tokens") or []}


def _at_their_places(definition: dict[str, Any]) -> dict[str, Any]:
    """The library numbers added tokens by itself, without gaps; one that shall stand elsewhere is put into the
    vocabulary, where no merge leads to it."""
    try:
        backend = tokenizers.Tokenizer.from_str(json.dumps(definition))
    except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
        raise InputError(f"This is not a tokenizer: {error}", where=FILE_NAME) from error
    moved = {
        token["content"]: token["id"]
        for token in definition["added_tokens"]
        if backend.token_to_id(token["content"]) != token["id"]
    }
    vocabulary = definition["model"]["vocab"]
    if not moved or not isinstance(vocabulary, dict):
        return definition
    return definition | {"model": definition["model"] | {"vocab": vocabulary | moved}}
