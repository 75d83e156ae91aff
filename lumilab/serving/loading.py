"""What `lumi serve` is given, turned into models and keys: names, checkpoints with their engines, files of API keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lumilab.errors import ConfigError, InputError
from lumilab.inference.engine import Engine
from lumilab.inference.service import GenerationService
from lumilab.posttraining.chat_files import chat_files
from lumilab.recipe.serving import ServingConfig
from lumilab.serving.models import ServedModel
from lumilab.training.checkpoint import tokenizer_config

MOST_NAME = 200  # characters


def load_served(checkpoints: Sequence[tuple[str, Path]], config: ServingConfig) -> list[ServedModel]:
    """Checkpoints with their names, each with an engine that waits for requests.

    Raises:
        ConfigError: two have the same name.
        LumiError: one cannot be loaded.
    """
    names = [name for name, _ in checkpoints]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Two models are named {name}", where="command line", mend="name them: NAME=PATH.")
    return [_load(name, path, config) for name, path in checkpoints]


def _load(name: str, checkpoint: Path, config: ServingConfig) -> ServedModel:
    engine = Engine.load(checkpoint, config.device, config.quantize)
    try:
        stored = chat_files(engine.tokenizer, engine.context, engine.form)["tokenizer_config.json"]
    except InputError:  # no token for the end of a turn, so no chat template
        stored = tokenizer_config(engine.tokenizer, engine.context)
    return ServedModel(name, GenerationService(engine, config.slots, config.queue), json.loads(stored))


def split_name(word: str) -> tuple[str | None, Path]:
    """What `NAME=PATH` or `PATH` on a command line means.

    Raises:
        ConfigError: the name or the path is empty.
    """
    name, is_named, path = word.partition("=")
    if not is_named or Path(word).exists():
        return None, Path(word)
    if not (name and path) or len(name) > MOST_NAME:
        raise ConfigError(f"{word!r} is not NAME=PATH", where="command line")
    return name, Path(path)


def name_of(checkpoint: Path) -> str:
    """The name of a model that was given none: its run's and its stage's, or its folder's."""
    parts = checkpoint.absolute().parts
    if "checkpoints" in parts[1:-1]:
        place = parts.index("checkpoints")
        return f"{parts[place - 1]}-{parts[place + 1]}"
    return parts[-1]


def read_keys(file: Path | None, variable: str | None) -> list[str]:
    """The API keys of a file (one a line; a line that begins with # is a comment) and of an environment variable.

    Raises:
        InputError: the file is missing or has no key.
    """
    keys = (variable or "").replace(",", " ").split()
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The API keys cannot be read: {error}", where=str(file)) from None
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise InputError("There is no API key in this file", where=str(file), mend="write one key a line.")
        keys += found
    return keys
