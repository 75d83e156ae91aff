"""kernels.c, compiled on this machine for its own processor, and a model as it wants it described.

Compiling takes a second or two and is done once: the result is kept in the user's cache, under a name that is the
digest of the source, the compiler and its arguments. Where there is no C compiler, the engine works with PyTorch alone.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lumilab.inference.quantise import StoredMatrix
from lumilab.model import Transformer
from lumilab.model.norms import LayerNorm, RMSNorm

SOURCE = Path(__file__).with_name("kernels.c")
COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-O3", "-march=native", "-ffp-contract=off", "-std=gnu11", "-shared", "-fPIC")
KINDS = {"bf16": 1, "int8": 2, "int4": 3}
ACTIVATIONS = {"swiglu": 0, "geglu": 1, "gelu": 1, "gelu_tanh": 2, "reglu": 3}
LONGEST, LARGEST_HEAD = 16_384, 1024  # as in kernels.c


class _Matrix(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("kind", "outputs", "inputs")),
        *((name, ctypes.c_void_p) for name in ("weight", "scales", "bias")),
    ]


class _Norm(ctypes.Structure):
    _fields_ = [("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p)]


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, _Norm) for name in ("before_attention", "query_norm", "key_norm", "before_mlp")),
        *((name, _Matrix) for name in ("query", "key", "value", "output", "gate", "up", "down")),
        *((name, ctypes.c_void_p) for name in ("keys", "values")),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "layers",
                "width",
                "heads",
                "kv_heads",
                "head_dim",
                "inner",
                "capacity",
                "activation",
                "threads",
            )
        ),
        ("epsilon", ctypes.c_float),
        ("turns", ctypes.c_void_p),
        ("last", _Norm),
        ("layer", ctypes.POINTER(_Layer)),
    ]


@functools.lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where no compiler can make them."""
    compiler = next((found for name in (os.environ.get("CC", ""), *COMPILERS) if (found := shutil.which(name))), None)
    if compiler is None or sys.platform == "win32":
        return None
    for options in ((*OPTIONS, "-fopenmp"), OPTIONS):  # a compiler without OpenMP makes kernels of one thread
        path = _cached(compiler, options)
        if path is not None:
            kernels = ctypes.CDLL(str(path))
            kernels.lumi_scratch.restype = ctypes.c_int64
            return kernels
    return None


def _cached(compiler: str, options: tuple[str, ...]) -> Path | None:
    """The library compiled so, made now if it is not in the cache; None where the compiler refuses."""
    described = "\0".join((SOURCE.read_text(), compiler, *options, platform.machine(), _processor()))
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lumilab" / "kernels"
    target = folder / f"{hashlib.sha256(described.encode()).hexdigest()[:16]}.so"
    try:
        if target.exists():
            return target
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / target.name
            command = [compiler, *options, "-o", str(made), str(SOURCE), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            return made.replace(target)
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    """What tells processors apart, as a home folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def usable(model: Transformer) -> bool:
    """Whether the kernels can run this model as it is: on a CPU, in float32 or stored by `quantise`."""
    config = model.config
    own = [*model.parameters(), *model.buffers()]
    products = [layer for name, layer in model.named_modules() if name.endswith("_proj")]
    return (
        library() is not None
        and all(isinstance(layer, nn.Linear | StoredMatrix) for layer in products)  # an adapter's are wrapped
        and model.activation_dtype in (None, torch.float32)
        and all(type(tensor.data) is Tensor and tensor.device.type == "cpu" for tensor in own)
        and all(tensor.is_contiguous() for tensor in own)
        and all(parameter.dtype is torch.float32 for parameter in model.parameters())
        and max(config.width, config.feed_forward, config.heads * config.head_dim) <= LONGEST
        and config.head_dim <= LARGEST_HEAD
    )


class KernelModel:
    """A model and the keys and values of some texts, as the kernels want them described.

    It points into the model's own tensors, which must stay where they are as long as it is used.

    Args:
        model: one that is `usable`.
        keys, values: for each layer [slots, kv_heads, capacity, head_dim], float32.
    """

    def __init__(self, model: Transformer, keys: list[Tensor], values: list[Tensor]) -> None:
        found = library()
        assert found is not None
        self._library = found
        config, body = model.config, model.model
        layers = [_layer(block, *memory) for block, *memory in zip(body.layers, keys, values, strict=True)]
        self._layers = (_Layer * len(layers))(*layers)
        self._kept = (model, keys, values)
        self._embed, self._positions = body.embed_tokens, body.embed_positions
        self._output = _matrix(body.embed_tokens if model.lm_head is None else model.lm_head)
        self._width, self._vocabulary = config.width, model.vocabulary_size
        self._model = _Model(
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            kv_heads=config.kv_heads,
            head_dim=config.head_dim,
            inner=config.feed_forward,
            capacity=keys[0].shape[2],
            activation=ACTIVATIONS[config.activation],
            epsilon=config.norm_epsilon,
            turns=_pointer(model.rotary),
            last=_norm(body.norm),
            layer=self._layers,
        )
        self._scratch = int(found.lumi_scratch(ctypes.byref(self._model)))

    @torch.no_grad()
    def features(self, ids: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """Features [tokens, width] of tokens of any texts, whose keys and values are stored on the way.

        Args:
            ids, slots, positions: [tokens], int64: what each token is, which text it belongs to and where it stands
                there. The tokens of a text come in their order, after those it holds already.
        """
        x: Tensor = self._embed(ids)
        if self._positions is not None:
            x = x + self._positions.weight[positions]
        x = x.contiguous()
        self._model.threads = torch.get_num_threads()
        work = torch.empty(len(ids) * self._scratch)
        self._library.lumi_forward(
            ctypes.byref(self._model),
            ctypes.c_int64(len(ids)),
            *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (slots, positions, x, work)),
        )
        return x

    def logits(self, features: Tensor) -> Tensor:
        """Scores [tokens, vocabulary] of the next token."""
        features = features.contiguous()
        scores = torch.empty(len(features), self._vocabulary)
        self._library.lumi_product(
            ctypes.byref(self._output),
            ctypes.c_void_p(features.data_ptr()),
            ctypes.c_int64(len(features)),
            ctypes.c_void_p(scores.data_ptr()),
            ctypes.c_int64(torch.get_num_threads()),
        )
        return scores


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _matrix(layer: nn.Module) -> _Matrix:
    if isinstance(layer, StoredMatrix):
        own = (_pointer(layer.stored), _pointer(layer.scales), _pointer(layer.bias))
        return _Matrix(KINDS[layer.kind], layer.outputs, layer.inputs, *own)
    assert isinstance(layer, nn.Linear | nn.Embedding)
    return _Matrix(0, *layer.weight.shape, _pointer(layer.weight), None, _pointer(getattr(layer, "bias", None)))


def _norm(norm: nn.Module | None) -> _Norm:
    if norm is None:
        return _Norm(None, None)
    assert isinstance(norm, RMSNorm | LayerNorm)
    return _Norm(_pointer(norm.weight), _pointer(norm.bias) if isinstance(norm, LayerNorm) else None)


def _layer(block: Any, keys: Tensor, values: Tensor) -> _Layer:
    attention, mlp = block.self_attn, block.mlp
    return _Layer(
        before_attention=_norm(block.input_layernorm),
        query_norm=_norm(attention.q_norm),
        key_norm=_norm(attention.k_norm),
        before_mlp=_norm(block.post_attention_layernorm),
        query=_matrix(attention.q_proj),
        key=_matrix(attention.k_proj),
        value=_matrix(attention.v_proj),
        output=_matrix(attention.o_proj),
        gate=_matrix(mlp.gate_proj) if hasattr(mlp, "gate_proj") else _Matrix(),
        up=_matrix(mlp.up_proj),
        down=_matrix(mlp.down_proj),
        keys=keys.data_ptr(),
        values=values.data_ptr(),
    )
