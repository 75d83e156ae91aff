"""How much memory a training takes on each device, part by part, before it is begun.

State (weights, gradients, the optimizer's means) follows from the parameters alone. Activations are what autograd keeps
for the backward pass, counted from the layers' own code, tensor by tensor, without torch.compile, which keeps less
(Korthikanti et al. 2022, arXiv 2205.05198, section 4, count another model in the same way). The most memory is taken at
one of three moments: in the vocabulary's loss, when all activations are there; in the backward pass of the last block;
or in the optimizer's step, when all gradients are there. What the driver, the libraries and the allocator take for
themselves is not in it. tests/training/test_footprint.py compares with what PyTorch keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lumilab.model.blockwise import BLOCK
from lumilab.model.vocabulary_loss import CPU_BLOCK, CPU_ROWS, PIECE_LOGITS
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.cost import FLOAT32, Parameters, optimizer_bytes, parameters_of

Strategy = Literal["one", "ddp", "fsdp"]
MUON_COPIES = 5  # of the matrices that are orthogonalised at once: look-ahead, iterate, its square's terms, result
IDS = 16  # bytes of a token's id and label


@dataclass(frozen=True)
class Setup:
    """What is trained where.

    Attributes:
        model, vocabulary_size, window: the shape.
        training: the optimizer, the average, activation checkpointing, and whether there are several micro-batches.
        rows: windows in each forward pass on one device.
        element: bytes of an activation: 2 in bfloat16 and float16, 4 in float32.
        on_cpu: attention and loss on a CPU are computed otherwise than on a GPU.
        devices: how many.
        strategy: how they share the work.
    """

    model: ModelConfig
    vocabulary_size: int
    window: int
    training: TrainingConfig
    rows: int
    element: int
    on_cpu: bool
    devices: int = 1
    strategy: Strategy = "one"

    @property
    def tokens(self) -> int:
        """In each forward pass."""
        return self.rows * self.window

    @property
    def accumulates(self) -> bool:
        """Whether a step has several micro-batches, so that gradients lie there during the forward passes."""
        return self.rows * self.devices < self.training.batch_size


@dataclass(frozen=True)
class Part:
    """A part of the memory: bytes on each device, and how they were counted."""

    name: str
    size: float
    how: str


@dataclass(frozen=True)
class Footprint:
    """The parts, and the most that is taken at once, in bytes; `moment` says when that is."""

    parts: tuple[Part, ...]
    peak: float
    moment: str


def footprint(setup: Setup) -> Footprint:
    """What one device's memory will hold."""
    counted = parameters_of(setup.model, setup.vocabulary_size)
    state = list(_state(setup, counted))
    gradients = Part("gradients", _each(setup, FLOAT32 * counted.total), _shared(setup, "4 bytes a parameter"))
    activations = _activations(setup)
    copies = Part("weights as multiplied", weight_copies(setup, counted), _copies_how(setup))
    loss = _loss(setup)
    backward, update = _backward(setup), _update(setup, counted)
    there = sum(part.size for part in state)
    kept = activations.size + copies.size
    held = gradients.size if setup.accumulates else 0.0
    matrix = FLOAT32 * setup.vocabulary_size * setup.model.width  # the output layer's gradient, when backward begins
    moments = {
        "in the vocabulary's loss": there + kept + held + loss.size,
        "as the backward pass begins": there + kept + max(held, matrix) + backward.size,
        "in the optimizer's step": there + gradients.size + update.size,
    }
    moment = max(moments, key=moments.__getitem__)
    return Footprint((*state, gradients, activations, copies, loss, backward, update), moments[moment], moment)


# --- state -----------------------------------------------------------------------------------------------------------


def _state(setup: Setup, counted: Parameters) -> Iterator[Part]:
    yield Part("weights", _each(setup, FLOAT32 * counted.total), _shared(setup, "4 bytes a parameter (float32)"))
    how = "8 bytes a parameter (AdamW's two means)"
    if setup.training.optimizer.name == "muon":
        how = "4 bytes a parameter of the matrices (Muon's mean), 8 of the others (AdamW's two)"
    yield Part("optimizer state", _each(setup, optimizer_bytes(counted, setup.training)), _shared(setup, how))
    if setup.training.ema:
        yield Part("moving average", _each(setup, FLOAT32 * counted.total), _shared(setup, "4 bytes a parameter"))
    if setup.strategy == "fsdp":
        outside = counted.embeddings * FLOAT32
        block = (counted.matrices + counted.vectors) * FLOAT32 / setup.model.layers
        how = "embeddings and two blocks whole, and one block's whole gradient, while they compute"
        yield Part("gathered weights", outside + 3 * block, how)


def _each(setup: Setup, size: float) -> float:
    return size / setup.devices if setup.strategy == "fsdp" else size


def _shared(setup: Setup, how: str) -> str:
    return f"{how}, over {setup.devices} devices" if setup.strategy == "fsdp" else how


def _update(setup: Setup, counted: Parameters) -> Part:
    if setup.training.optimizer.name != "muon":
        return Part("optimizer's working room", 0.0, "fused AdamW updates in place")
    size = _each(setup, MUON_COPIES * FLOAT32 * counted.largest_stack)
    return Part(
        "optimizer's working room", size, f"{MUON_COPIES} copies of the {counted.largest_stack:,} values of one shape"
    )


# --- activations -----------------------------------------------------------------------------------------------------


def _activations(setup: Setup) -> Part:
    layers, block = setup.model.layers, block_bytes(setup)
    ends = end_bytes(setup)
    each = f"{block:,.0f} bytes a token and block"
    if setup.training.activation_checkpointing:
        kept = layers * setup.element * setup.model.width + block
        how = f"{setup.tokens:,} tokens: the input of each of {layers} blocks, and one block whole ({each})"
    else:
        kept = layers * block
        how = f"{setup.tokens:,} tokens, {layers} blocks, {each}; compiled, it is less"
    return Part("activations", setup.tokens * (kept + ends), how)


def block_bytes(setup: Setup) -> float:
    """Bytes a token that one block keeps for the backward pass."""
    return 2 * _norm_bytes(setup) + _attention_bytes(setup) + _feed_forward_bytes(setup)


def end_bytes(setup: Setup) -> float:
    """Bytes a token outside the blocks: ids and labels, the last norm, and the gradient that the loss keeps of the
    features, in place of the features themselves."""
    return IDS + _norm_bytes(setup)


def _norm_bytes(setup: Setup) -> float:
    """Of a norm over the residual stream, its result included, which the next product keeps."""
    width, size = setup.model.width, setup.element
    if setup.model.norm == "layernorm":
        return FLOAT32 * width + size * width + 2 * FLOAT32  # input in float32; result; mean and deviation
    return FLOAT32 * width + 2 * size * width + FLOAT32  # input in float32; normalised; result; factor


def _attention_bytes(setup: Setup) -> float:
    model, size = setup.model, setup.element
    queries, keys = model.heads * model.head_dim, model.kv_heads * model.head_dim
    joined = size * (queries + 2 * keys)
    kept = 0.0
    if model.qk_norm:  # by head: the input in float32 (a copy in other dtypes), normalised, and a factor
        kept += (0 if size == FLOAT32 else FLOAT32) * (queries + keys) + size * (queries + keys)
        kept += FLOAT32 * (model.heads + model.kv_heads)
    if not setup.on_cpu or (model.qk_norm and size == FLOAT32):
        kept += joined  # of which the value, or the norms' input, is a view
    if setup.on_cpu:
        kept += joined  # contiguous copies
    else:
        new = model.qk_norm or model.positions == "rope"  # query and key, normalised or rotated
        kept += (size * (queries + keys) if new else 0) + FLOAT32 * model.heads  # and a normaliser a head
    return kept + size * queries  # the mix, which the output product keeps


def _feed_forward_bytes(setup: Setup) -> float:
    """Gated: gate and up, the activated gate, the product. Plain: up, and its activation."""
    return setup.element * setup.model.feed_forward * (4 if setup.model.gated else 2)


def _backward(setup: Setup) -> Part:
    """What the last block's backward pass holds beyond what it has freed by then, at the larger of two moments."""
    model, size = setup.model, setup.element
    fed = size * setup.tokens * (model.feed_forward + 2 * model.width)
    attended = 0.0
    if setup.on_cpu:  # a block of queries: attention weights, their gradient, the scores' gradient
        weights = size * setup.rows * model.heads * min(BLOCK, setup.window) * setup.window
        attended = 3 * weights - setup.tokens * (_feed_forward_bytes(setup) + _norm_bytes(setup))
    how = "gradients inside the last block, beyond what is freed by then"
    return Part("backward's working room", float(max(fed, attended)), how)


# --- weights as multiplied, and the loss ------------------------------------------------------------------------------


def weight_copies(setup: Setup, counted: Parameters) -> float:
    """Bytes of the weights' copies that products keep: joined ones, and in a narrower dtype all."""
    model = setup.model
    if setup.element != FLOAT32:
        copied = counted.matrices // model.layers
    else:
        copied = model.width * (model.heads + 2 * model.kv_heads) * model.head_dim
        copied += 2 * model.width * model.feed_forward if model.gated else 0
    blocks = 1 if setup.training.activation_checkpointing else model.layers
    return float(setup.element * copied * blocks)


def _copies_how(setup: Setup) -> str:
    if setup.element != FLOAT32:
        return f"{setup.element} bytes a parameter of the matrices, kept for the backward pass"
    return "matrices that are joined for one product, kept for the backward pass"


def _loss(setup: Setup) -> Part:
    """The loss holds the output layer's gradient and one piece of logits, never all."""
    vocabulary, size = setup.vocabulary_size, setup.element
    matrix = vocabulary * setup.model.width
    whole = FLOAT32 * matrix + (size * matrix if size != FLOAT32 else 0)
    if setup.on_cpu:
        rows = min(CPU_ROWS, setup.tokens)
        piece = size * vocabulary * rows + (size + FLOAT32) * min(CPU_BLOCK, vocabulary) * rows
    else:
        rows = min(max(128, PIECE_LOGITS // vocabulary // 128 * 128), setup.tokens)
        piece = (2 * size + 2 * FLOAT32) * vocabulary * rows
    features = size * setup.tokens * setup.model.width
    how = f"features, the output layer's gradient, and {rows:,} rows of logits at a time (of {setup.tokens:,})"
    return Part("vocabulary loss", float(features + whole + piece), how)
