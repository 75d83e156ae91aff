"""What transformers makes of a folder or a GGUF file, as a function from ids to logits."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lumilab.errors import MismatchError
from lumilab.interop.proof import Forward, need


def open_with_transformers(folder: Path, gguf_file: str | None = None) -> Forward:
    """Opens a model as its users do, in float32 on the CPU.

    Args:
        folder: with a config.json and weights, or with the GGUF file.
        gguf_file: name of the latter.

    Raises:
        ConfigError: transformers is not installed.
        MismatchError: transformers cannot open it, or finds weights missing or left over.
    """
    need("transformers", "hf", "Comparing with transformers")
    loaded, info = _opened(folder, {"gguf_file": gguf_file} if gguf_file else {})
    odd = {key: sorted(info.get(key) or ()) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    if gguf_file:
        odd["missing_keys"] = [name for name in odd["missing_keys"] if name != "lm_head.weight"]
    for key, names in odd.items():
        if names:
            raise MismatchError(f"transformers finds {key.replace('_', ' ')}: {names[0]}", where=str(folder))
    model = loaded.eval()

    def forward(ids: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=ids).logits
        return logits.float()

    return forward


def _opened(folder: Path, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model and what there is to say of its weights, without a word on the terminal."""
    import transformers

    library: Any = transformers
    verbosity, bars = library.logging.get_verbosity(), library.logging.is_progress_bar_enabled()
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    try:
        with redirect_stderr(StringIO()):  # its reader of GGUF shows a bar whatever was set
            loaded, info = library.AutoModelForCausalLM.from_pretrained(
                str(folder),
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # whatever a library says to files it does not understand
        raise MismatchError(f"transformers cannot open the model: {error}", where=str(folder)) from error
    finally:
        library.logging.set_verbosity(verbosity)
        if bars:
            library.logging.enable_progress_bar()
    return loaded, info
