"""Low-rank adapters (LoRA, Hu et al. 2021) in the model: put in, trained alone, written, read and merged.

To an adapted matrix W comes scale · B · A with few columns; W stays as it is. The layers are PEFT's own, put into our
model as they are put into any: our parameters have the names of the model's export, so what PEFT writes for one it
reads for the other. A new adapter changes nothing (B is zero) and its A is a pure function of the seed. Merging adds
scale · B · A to W, after which the model is a plain one again.

The files are PEFT's: `adapter_config.json` and `adapter_model.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from lumilab.artifact import canonical_json
from lumilab.errors import InputError, MismatchError, ResourceError
from lumilab.model import Transformer
from lumilab.recipe.adapter import AdapterConfig
from lumilab.training.weights import load_tensors
from lumilab.work.context import WorkContext

ADAPTER_FOLDER = "adapter"
CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # before each parameter's name in PEFT's files
NAME = "default"  # of the adapter in the model
OUTPUT_LAYER = "lm_head"


def add_adapter(model: Transformer, config: AdapterConfig, seed: int) -> None:
    """Puts a new adapter into the model, in place; afterwards only the adapter's parameters require gradients.

    Args:
        model: a plain one; it computes what it did before.
        config: rank, scale and layers.
        seed: of the adapter's first weights, whatever else has drawn random numbers.

    Raises:
        ResourceError: PEFT is not installed.
        MismatchError: the model lacks a layer that is to be adapted.
    """
    linears = {name.rpartition(".")[2] for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    targets = linears - {OUTPUT_LAYER} if config.targets == "all" else set(config.targets)
    if not targets or not targets <= linears:
        raise MismatchError(
            f"The adapter is for {', '.join(sorted(targets - linears)) or 'no layer'}, which this model does not have",
            mend=f"choose adapter.targets among {', '.join(sorted(linears - {OUTPUT_LAYER}))}.",
        )
    lora = _peft().LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        use_rslora=config.rslora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _inject(lora, model)


def load_adapter(model: Transformer, folder: Path) -> None:
    """Puts an adapter of PEFT's files into the model, in place.

    Args:
        model: a plain one, with the weights that the adapter was trained on.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ResourceError: PEFT is not installed.
        InputError: there is no adapter in the folder, or none of these layers.
        MismatchError: it does not fit the model.
        DamageError: the weights cannot be read.
    """
    peft = _peft()
    config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    for path in (config_path, weights_path):
        if not path.is_file():
            raise InputError(
                f"There is no {path.name}", where=str(folder), mend="give the folder that PEFT wrote the adapter to."
            )
    try:
        described = json.loads(config_path.read_bytes())
        config = peft.PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"The adapter's configuration cannot be read: {error}", where=str(config_path)) from error
    if not isinstance(config, peft.LoraConfig) or described.get("bias", "none") != "none" or config.modules_to_save:
        raise InputError(
            "Only plain LoRA adapters can be put into a model here, without biases and without whole layers",
            where=str(config_path),
            mend="merge it with PEFT's own merge_and_unload, and import the merged model.",
        )
    tensors = load_tensors(weights_path)
    try:
        _inject(config, model)
    except ValueError as error:
        raise MismatchError(
            f"The adapter does not fit the model: {error}", where=str(folder), mend="give the model it was trained on."
        ) from error
    _set(model, tensors, folder)


def adapter_files(model: Transformer) -> dict[str, bytes]:
    """PEFT's files of the adapter that is in the model, by name; equal adapters give equal bytes."""
    config: Any = model.peft_config[NAME]  # type: ignore[index]  # PEFT put it there
    values = {name: sorted(value) if isinstance(value, set) else value for name, value in config.to_dict().items()}
    values["inference_mode"] = True  # so that whoever opens it does not train it by accident, as PEFT itself saves it
    values.pop("peft_version", None)  # which is no fact about the adapter
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(model).items()}
    return {
        CONFIG_FILE: canonical_json(values, indent=2) + b"\n",
        WEIGHTS_FILE: safetensors.torch.save(tensors, metadata={"format": "pt"}),
    }


@torch.no_grad()
def merge_adapter(model: Transformer) -> None:
    """Adds the adapter to the weights, in place, and takes its layers out: the model is a plain one again."""
    layers = {name: layer for name, layer in model.named_modules() if _is_adapted(layer)}
    for name, layer in layers.items():
        layer.merge()
        model.set_submodule(name, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
    model.requires_grad_(True)


def begin_adapter(
    model: Transformer, config: AdapterConfig | None, seed: int, context: WorkContext
) -> Callable[[Transformer], Mapping[str, bytes]]:
    """Prepares a model for a training stage: with a new adapter if one is wanted.

    Returns:
        What `lumilab.training.stage.train_stage` has to do with the trained model (its `finish`).

    Raises:
        As `add_adapter`.
    """
    if config is None:
        return lambda model: {}
    add_adapter(model, config, seed)
    context.report.say(f"  {describe_adapter(model)}", style="dim")
    return finish_adapter


def finish_adapter(model: Transformer) -> dict[str, bytes]:
    """Merges the adapter into the model, in place, and returns its files as they are named in a checkpoint."""
    files = {f"{ADAPTER_FOLDER}/{name}": content for name, content in adapter_files(model).items()}
    merge_adapter(model)
    return files


def describe_adapter(model: Transformer) -> str:
    """How much is trained, in a line."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    everything = sum(parameter.numel() for parameter in model.parameters())
    share = 100 * trained / everything
    return f"an adapter of {trained:,} parameters is trained ({share:.2f} % of {everything:,})"


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ResourceError(
            "Low-rank adapters need the package peft, which is not installed",
            mend="install it with `pip install 'lumilab[lora]'`, or leave adapter out.",
        ) from error
    return peft


def _inject(config: Any, model: Transformer) -> None:
    """Puts PEFT's layers into the model."""
    _peft().inject_adapter_in_model(config, model, adapter_name=NAME)


def _is_adapted(layer: nn.Module) -> Any:
    return hasattr(layer, "lora_A") and hasattr(layer, "get_base_layer")


def _tensors(model: Transformer) -> dict[str, Tensor]:
    """The adapter's parameters by the names of PEFT's files."""
    marks = (".lora_A.", ".lora_B.")
    return {
        PREFIX + name.replace(f".{NAME}.", "."): parameter
        for name, parameter in model.named_parameters()
        if any(mark in name for mark in marks)
    }


@torch.no_grad()
def _set(model: Transformer, tensors: Mapping[str, Tensor], folder: Path) -> None:
    own = _tensors(model)
    for name in sorted({*tensors, *own}):
        found, wanted = (tuple(group[name].shape) if name in group else "absent" for group in (tensors, own))
        if found != wanted:
            raise MismatchError(
                f"The adapter does not fit the model: {name} is {found} in the file and {wanted} in the model",
                where=str(folder),
                mend="give the model that the adapter was trained on.",
            )
        own[name].copy_(tensors[name])
