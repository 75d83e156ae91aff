"""A model's files from the hub, kept in the user's cache: configuration, safetensors, tokenizer, nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from lumilab.corpus.hub.api import HubFile
from lumilab.errors import ConfigError, InputError
from lumilab.interop.read_hf import INDEX, WHOLE
from lumilab.tokenizer.hub_files import cache_folder, fetch_chosen
from lumilab.tokenizer.hub_files import choose as choose_tokenizer
from lumilab.work.context import WorkContext

DESCRIPTIONS = ("config.json", "generation_config.json", "chat_template.jinja")
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors", re.ASCII)


def fetch_model(name: str, revision: str, context: WorkContext) -> Path:
    """The folder with the files of a model on the hub, fetched unless they are there.

    Args:
        name: OWNER/NAME.
        revision: branch, tag or commit.
        context: progress and stopping.

    Raises:
        ConfigError: it is neither a folder nor such a name.
        InputError: the hub has no such model, or none with safetensors, or it may not be read.
        ResourceError: the hub cannot be reached, and the files were not fetched before.
    """
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII) or ".." in name:
        raise ConfigError(
            f"There is no folder {name}",
            where="command line",
            mend="give a folder with a config.json, or a model's name on the hub (OWNER/NAME).",
        )
    return fetch_chosen(name, revision, choose_model, cache_folder("models"), context)


def choose_model(files: list[HubFile], repository: str) -> list[HubFile]:
    """The files of a repository that are its model.

    Raises:
        InputError: it has no config.json, no safetensors or no tokenizer.
    """
    there = {file.name: file for file in files}
    shards = [file for file in files if SHARD.fullmatch(file.name)]
    weights = [there[WHOLE]] if WHOLE in there else [there[INDEX], *shards] if INDEX in there and shards else []
    if "config.json" not in there or not weights:
        raise InputError(
            f"{repository} has no model that can be read: it needs config.json and {WHOLE} (or {INDEX} and its parts)",
            where="the hub",
            mend="choose a repository with safetensors, or another revision of it.",
        )
    described = [there[name] for name in DESCRIPTIONS if name in there]
    return [*described, *choose_tokenizer(files, repository), *weights]
