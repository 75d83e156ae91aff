"""What the pipeline has to know of a tokenizer before it is made: what decides about it, and which files it is from.

Nothing heavy is imported for one that is learned, so that plans stay quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumilab.recipe.section import identity
from lumilab.work.context import WorkContext

if TYPE_CHECKING:
    from lumilab.artifact import RawFile
    from lumilab.recipe.tokenizer import TokenizerConfig
    from lumilab.tokenizer.files import FoundTokenizer

MODEL_NAME = "tokenizer.model"
"""The SentencePiece model that is kept beside the `tokenizer.json` made of it."""


def tokenizer_identity(config: TokenizerConfig) -> dict[str, Any]:
    """What of the configuration decides about the tokenizer besides its files: all but where they are."""
    values = identity(config)
    del values["model_file"]
    return values


def raw_inventory(config: TokenizerConfig) -> tuple[list[RawFile], dict[str, Path]]:
    """The files that a pretrained tokenizer is read from, with their hashes; none for one that is learned here.

    Raises:
        InputError: there is no tokenizer, or it cannot be read.
        ResourceError: the hub cannot be reached.
    """
    if config.algorithm != "pretrained":
        return [], {}
    from lumilab.tokenizer.files import find_tokenizer

    return inventory_of(find_tokenizer(place_of(config, WorkContext())))


def inventory_of(found: FoundTokenizer) -> tuple[list[RawFile], dict[str, Path]]:
    """The files of a tokenizer with their hashes, and the folder they are in."""
    from lumilab.corpus.sources.source import RawPath, inventory

    return inventory(RawPath("tokenizer", file.parent, file.name) for file in found.files)


def place_of(config: TokenizerConfig, context: WorkContext) -> Path:
    """The file or folder of a pretrained tokenizer, fetched from the hub if it is there.

    Raises:
        ConfigError, InputError, ResourceError: as for `hub_files.fetch`.
    """
    if config.hub is not None:
        from lumilab.tokenizer.hub_files import fetch

        return fetch(config.hub, config.revision, context)
    assert config.model_file is not None  # the recipe checks it
    return Path(config.model_file).expanduser().absolute()
