"""Old checkpoints: flat folders and .pt files, as a checkpoint of ours.

A .pt file is a pickle, which can run any code when it is loaded. It is loaded "weights only": tensors and plain values;
a file that wants more is refused, and nothing of it is run. Nobody else can compute the logits of such a model, so
there is no proof; what was told nowhere and taken by custom is said in words.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, DamageError, InputError
from lumilab.interop.export_hf import refuse_existing
from lumilab.interop.names import check_complete
from lumilab.interop.old_weights import inferred, recognised, to_ours, unwrapped
from lumilab.interop.publish import publish_imported
from lumilab.interop.read_hf import FoundModel
from lumilab.model.layout import count_parameters, parameter_shapes
from lumilab.recipe.described_model import fields_of, shape_of
from lumilab.recipe.model import ModelConfig
from lumilab.training.weights import load_tensors

ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
FIRST_NAMES = ("model", "pytorch_model", "final", "best", "best_model", "latest")
WEIGHTS = ("model_state_dict", "state_dict", "model", "module", "weights", "network")
CONFIGURATIONS = ("config", "model_config", "model_args", "args", "hparams", "cfg")
DESCRIPTIONS = ("config.json", "model_config.json", "config.yaml", "model_config.yaml", "params.json")


def import_torch(
    source: Path, target: Path, tokenizer: Path | None, description: Path | None, heads: int | None
) -> tuple[Artifact, list[str]]:
    """Publishes the checkpoint `target`, and says in lines what was read.

    Args:
        source: a file, or a folder with one.
        target: must not exist.
        tokenizer: where the tokenizer is, if not beside it.
        description: a file that describes the model, if not beside it or in it.
        heads: query heads, where nothing says it.

    Raises:
        ConfigError: there is something at `target`, or `heads` is not what a description says.
        InputError: there is no such file, it wants to run code, or it is no known model.
        DamageError: it is not whole.
    """
    refuse_existing(target)
    file = weights_file(source.absolute())
    content = load_weights(file)
    tensors, told = _parts(content, file)
    beside = description or next((file.parent / name for name in DESCRIPTIONS if (file.parent / name).is_file()), None)
    if beside is not None:
        told = _read(beside) | told
    described = shape_of(told, str(beside or file))[0] if _by_hugging_face(told) else None
    if described and heads not in (None, described.heads):
        raise ConfigError(
            f"--heads is {heads}, and the description says {described.heads}",
            where=str(beside or file),
            mend="leave --heads out.",
        )
    fields = (described.model_dump() if described else fields_of(told)) | ({"heads": heads} if heads else {})
    plain, style = recognised(unwrapped(tensors), str(file))
    config, size = inferred(plain, style, fields, str(file))
    if described:
        _check_described(config, described, str(file))
    ours = to_ours(plain, style, config)
    check_complete(ours, parameter_shapes(config, size), str(file))
    found = FoundModel(config, size, ours, (file, *([beside] if beside else [])))
    artifact, _ = publish_imported(found, file, tokenizer or file.parent, target, f"torch, {style}", None)
    shape = f"{config.layers} layers, width {config.width}, {config.heads} heads ({config.kv_heads} of keys and values)"
    lines = [f"{file.name}: named as in {style}, {count_parameters(config, size):,} parameters, {shape}."]
    untold = [
        f"{name} {getattr(config, name)}"
        for name in ("activation", "norm_epsilon", *(("rope_theta", "context") if config.positions == "rope" else ()))
        if name not in fields
    ]
    if untold:
        lines.append(f"No file tells these, so they are as is usual: {', '.join(untold)}. Check them.")
    return artifact, lines


def weights_file(source: Path) -> Path:
    """The file with the weights.

    Raises:
        InputError: there is none, or more than one and none with a telling name.
    """
    if source.is_file():
        return source
    files = sorted(path for path in source.glob("*") if path.suffix in ENDINGS) if source.is_dir() else []
    if len(files) == 1:
        return files[0]
    for name in FIRST_NAMES:
        for file in files:
            if file.stem == name:
                return file
    raise InputError(
        "Which of the files is the model?" if files else "There is no file of weights here",
        where=str(source),
        mend=f"name one: {', '.join(file.name for file in files)}."
        if files
        else f"its name ends in {', '.join(ENDINGS)}.",
    )


def load_weights(file: Path) -> Any:
    """What a file holds, loaded without running anything.

    Raises:
        InputError: it wants to run code.
        DamageError: it cannot be read.
    """
    if file.suffix == ".safetensors":
        return load_tensors(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()
        wanted = next((line.strip() for line in reason if "GLOBAL" in line or "global" in line), reason[0])
        raise InputError(
            "The file holds more than weights, and loading that could run any code, so it was not loaded: "
            f"{wanted[:200]}",
            where=str(file),
            mend="where you trust it, load it with the code it is from, and save its weights alone: "
            "torch.save(model.state_dict(), 'weights.pt').",
        ) from None
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise DamageError(
            f"The file cannot be read: {error}", where=str(file), mend="restore it from a copy."
        ) from error


def _parts(content: Any, file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and what the file says of the model."""
    if not isinstance(content, Mapping):
        raise InputError("The file does not hold named weights", where=str(file), mend="give one with a state_dict.")
    told: Mapping[str, Any] = next(
        (content[key] for key in CONFIGURATIONS if isinstance(content.get(key), Mapping)), {}
    )
    held = next((content[key] for key in WEIGHTS if isinstance(content.get(key), Mapping)), content)
    tensors = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError("The file does not hold named weights", where=str(file), mend="give one with a state_dict.")
    return tensors, dict(told)


def _by_hugging_face(told: Mapping[str, Any]) -> bool:
    """Whether a description is Hugging Face's config.json, in which every field has a meaning that must be kept. Small
    projects, too, have a `model_type`, with values of their own."""
    return "model_type" in told and bool({"architectures", "transformers_version"} & told.keys())


def _check_described(config: ModelConfig, described: ModelConfig, where: str) -> None:
    """Raises InputError where the weights are not those of the model that a config.json describes."""
    for name in ("layers", "width", "heads", "kv_heads", "feed_forward", "norm", "qk_norm", "positions"):
        if getattr(config, name) != getattr(described, name):
            raise InputError(
                f"The weights are not those of the model described: {name} is {getattr(config, name)} in them, and "
                f"{getattr(described, name)} in the description",
                where=where,
                mend="give the description that belongs to them with --config.",
            )


def _read(path: Path) -> dict[str, Any]:
    """JSON is YAML, too."""
    try:
        value = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else error
        raise InputError(
            f"The description of the model cannot be read: {why}",
            where=str(path),
            mend="give a JSON or YAML file, or a recipe's; `lumi config show PRESET > FILE` writes a preset's.",
        ) from None
    return dict(value) if isinstance(value, Mapping) else {}
