"""Finding a tokenizer in a file or folder, in any of the forms in which they are handed on.

A folder is searched for `tokenizer.json`, then for a SentencePiece model, a vocabulary with merges, tiktoken's ranks.
The files that transformers writes along with them say what the special tokens are for; their word counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers

from lumilab.errors import InputError, MismatchError
from lumilab.tokenizer.byte_pairs import GPT2_PATTERN, QWEN2_PATTERN, from_ranks, from_vocabulary
from lumilab.tokenizer.hub_files import CONFIGURATION
from lumilab.tokenizer.roles import KNOWN_NAMES
from lumilab.tokenizer.sentencepiece_model import UNIGRAM, PieceModel, added_token

PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


@dataclass(frozen=True)
class FoundTokenizer:
    """A tokenizer as its files have it.

    Attributes:
        definition: as a parsed `tokenizer.json`.
        form: what the files are, in words.
        files: all that were read.
        declared: names of tokens by role, as files beside it say.
        model: the SentencePiece model, if it is one.
    """

    definition: dict[str, Any]
    form: str
    files: tuple[Path, ...]
    declared: Mapping[str, str] = field(default_factory=dict)
    model: bytes | None = None


def find_tokenizer(path: Path) -> FoundTokenizer:
    """Reads the tokenizer in a file or folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    files = _main_files(path)
    data = [_content(file) for file in files]
    beside = {name: files[0].parent / name for name in CONFIGURATION if (files[0].parent / name).is_file()}
    described = {name: _json(_content(file), file) for name, file in beside.items()}
    first, where, model = files[0], str(files[0]), None
    if len(files) == 2:
        form = "vocabulary and merges"
        definition = from_vocabulary(data[0], data[1], _pattern(described), where)
    elif first.suffix == ".json":
        form = "tokenizer.json"
        definition = _json(data[0], first)
        _check(data[0], first)
    elif _has_ranks(data[0]):
        form = "tiktoken's ranks"
        definition = from_ranks(data[0], first.name, where)
    else:
        parsed = PieceModel.parse(data[0], where)
        form = f"SentencePiece {'unigram' if parsed.model_type == UNIGRAM else 'BPE'}"
        definition, model = parsed.definition(), data[0]
    if form != "tokenizer.json":
        definition = _with_added(definition, described, where)
    return FoundTokenizer(definition, form, (*files, *beside.values()), _declared(described), model)


def _check(data: bytes, file: Path) -> None:
    try:
        backend = tokenizers.Tokenizer.from_buffer(data)
    except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
        raise _none(file, str(error)) from error
    if not backend.get_vocab_size(with_added_tokens=False):
        raise _none(file, "its vocabulary is empty")


def _main_files(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise InputError(
            "There is no tokenizer here",
            where=str(path),
            mend="give a tokenizer.json, a SentencePiece .model, a .tiktoken file, or a folder that has one.",
        )
    for names in PAIRS:
        if path.name in names:
            pair = tuple(path.with_name(name) for name in names)
            missing = next((file for file in pair if not file.is_file()), None)
            if missing is not None:
                raise InputError(
                    f"Vocabulary and merges belong together, and {missing.name} is missing",
                    where=str(path),
                    mend=f"put {missing.name} beside it.",
                )
            return pair
    return (path,)


def _in_folder(folder: Path) -> tuple[Path, ...]:
    if (folder / "tokenizer.json").is_file():
        return (folder / "tokenizer.json",)
    for pattern in ("*.model", *("+".join(names) for names in PAIRS), "*.tiktoken"):
        if "+" in pattern:
            pair = tuple(folder / name for name in pattern.split("+"))
            if all(file.is_file() for file in pair):
                return pair
            continue
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise InputError("The folder has more than one tokenizer", where=str(folder), mend=f"name one: {names}.")
        if found:
            return (found[0],)
    raise InputError(
        "There is no tokenizer in this folder",
        where=str(folder),
        mend="it needs a tokenizer.json, a .model file, vocab.json with merges.txt, encoder.json with vocab.bpe, or "
        "a .tiktoken file.",
    )


def _content(file: Path) -> bytes:
    return file.read_bytes()


def _json(data: bytes, file: Path) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _none(file, "it is not a JSON object")
    return value


def _none(file: Path, why: str) -> InputError:
    return InputError(
        f"This is not a tokenizer: {why}",
        where=str(file),
        mend="give a tokenizer.json, a SentencePiece .model, a .tiktoken file, or a folder that has one.",
    )


def _has_ranks(data: bytes) -> bool:
    """Whether a file is lines of base64 and numbers: Llama 3 calls such a file .model too."""
    start = data[:100].split(b"\n")[0].split()
    return len(start) == 2 and start[1].isdigit() and start[0].isascii()


def _pattern(described: Mapping[str, dict[str, Any]]) -> str:
    """How text is cut into words, which the files leave to the code of the class they name."""
    name = str(described.get("tokenizer_config.json", {}).get("tokenizer_class", ""))
    return QWEN2_PATTERN if name.startswith("Qwen2") else GPT2_PATTERN


def _declared(described: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """What `bos_token` and the like are said to be."""
    found: dict[str, str] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        for role in KNOWN_NAMES:
            value = described.get(name, {}).get(f"{role}_token")
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str) and content:
                found.setdefault(role, content)
    return found


def _with_added(definition: dict[str, Any], described: Mapping[str, dict[str, Any]], where: str) -> dict[str, Any]:
    """The definition with the tokens that were added to the vocabulary later."""
    there = {token["content"] for token in definition["added_tokens"]}
    later = [token for token in _added(described) if token["content"] not in there]
    vocabulary = definition["model"]["vocab"]
    if isinstance(vocabulary, dict):
        taken = {number: name for name, number in vocabulary.items()}
        for token in later:
            other = taken.get(token["id"], token["content"])
            if other != token["content"] or vocabulary.get(token["content"], token["id"]) != token["id"]:
                raise MismatchError(
                    f"The files do not belong together: {token['content']!r} is said to be token {token['id']}",
                    where=where,
                    mend="give the files of one tokenizer, or its tokenizer.json.",
                )
    return definition | {"added_tokens": [*definition["added_tokens"], *later]}


def _added(described: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    detailed = described.get("tokenizer_config.json", {}).get("added_tokens_decoder") or {}
    for number, token in sorted(detailed.items(), key=lambda entry: int(entry[0])):
        yield added_token(int(number), token["content"], special=bool(token.get("special"))) | {
            flag: bool(token[flag]) for flag in ("lstrip", "rstrip", "single_word", "normalized") if flag in token
        }
    if not detailed:
        for content, number in sorted(described.get("added_tokens.json", {}).items(), key=lambda entry: entry[1]):
            yield added_token(int(number), content, special=True)
