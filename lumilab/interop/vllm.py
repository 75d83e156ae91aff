"""vLLM in the engine's place, where one machine or this engine is outgrown: the model exported, and vLLM started on it.

vLLM reads what transformers reads, so the export is the same that `lumi export hf` writes and proves. Address,
context, number of slots, sites and the key go over under vLLM's names; the other limits are vLLM's own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError
from lumilab.interop.export_hf import export_hf
from lumilab.recipe.serving import ServingConfig

PROGRAM = "vllm"
KEYS_VARIABLE = "VLLM_API_KEY"


def find_vllm() -> str:
    """The path of the program.

    Raises:
        InputError: it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise InputError(
            "vLLM is not installed here",
            where="--engine vllm",
            mend="install it into an environment of its own and put its folder on the PATH, or leave --engine out.",
        )
    return found


def vllm_command(program: str, name: str, model: Path, context: int, config: ServingConfig) -> list[str]:
    """The command line that serves an exported model with our settings.

    Args:
        program: from `find_vllm`.
        name: under which clients ask for the model.
        model: the exported folder.
        context: most tokens of prompt and answer together.
        config: of the server.
    """
    words = [program, "serve", str(model), "--served-model-name", name, "--host", config.host]
    words += ["--port", str(config.port), "--max-model-len", str(context), "--max-num-seqs", str(config.slots)]
    if config.cors_origins:
        words += ["--allowed-origins", "[" + ",".join(f'"{origin}"' for origin in config.cors_origins) + "]"]
    return words


def only_one(models: Sequence[tuple[str, Artifact]]) -> tuple[str, Artifact]:
    """The one model that there is, with its name.

    Raises:
        ConfigError: there are more.
    """
    if len(models) > 1:
        raise ConfigError("vLLM serves one model at a time", where="command line", mend="start one server for each.")
    return models[0]


def exported(checkpoint: Artifact, name: str, folder: Path) -> Path:
    """The export of a checkpoint in a folder of exports; made where there is none yet.

    Raises:
        ConfigError, MismatchError: as `export_hf`.
    """
    target = folder / f"{name}-{checkpoint.manifest.digest[:12]}"
    if not target.exists():
        export_hf(checkpoint, target, "float32")
    return target


def become_vllm(name: str, checkpoint: Artifact, config: ServingConfig, keys: Sequence[str], folder: Path) -> NoReturn:
    """Puts vLLM in this process's place, so that signals reach it; does not return.

    Args:
        name: under which clients ask for the model.
        checkpoint: the model.
        config: of the server.
        keys: API keys; vLLM takes one.
        folder: where exports are kept.

    Raises:
        ConfigError: there is more than one key, or the model is of no family that vLLM knows.
        InputError: vLLM is not installed.
    """
    program = find_vllm()
    if len(keys) > 1:
        raise ConfigError("vLLM takes one API key", where="--api-key-file", mend="give a file with one.")
    model = exported(checkpoint, name, folder)
    context = json.loads((model / "config.json").read_bytes())["max_position_embeddings"]
    environment = os.environ | ({KEYS_VARIABLE: keys[0]} if keys else {})
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, vllm_command(program, name, model, context, config), environment)
