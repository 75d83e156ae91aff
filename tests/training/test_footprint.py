"""The memory that is foretold, against what PyTorch really keeps."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from tiny_model import ALL_SHAPES, VOCABULARY, made
from torch.profiler import ProfilerActivity, profile

from lumilab.model import Transformer
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import AverageConfig, OptimizerConfig, TrainingConfig
from lumilab.training.cost import parameters_of, state_bytes
from lumilab.training.footprint import Setup, block_bytes, end_bytes, footprint, weight_copies
from lumilab.training.learner import Learner
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.parallel import Devices, DistributedLoss, LossModule
from lumilab.training.step import take_step

ROWS, WINDOW = 2, 256
SIZES = {torch.float32: 4, torch.bfloat16: 2}


def setup_of(config: ModelConfig, element: int = 4, **values: object) -> Setup:
    training = TrainingConfig.model_validate({"batch_size": ROWS} | values)
    return Setup(config, VOCABULARY, WINDOW, training, ROWS, element, on_cpu=True)


def bytes_kept(model: Transformer, batch: Batch) -> int:
    """Of all storage that autograd keeps after a forward pass, parameters left out, each counted once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = summed_cross_entropy(model, batch)
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("name", ["qwen3", "qwen3-untied", "llama", "llama-biased", "gpt2", "of-no-family-rotary"])
def test_what_autograd_keeps_is_foretold_within_two_parts_in_a_hundred(name: str, dtype: torch.dtype) -> None:
    config = ALL_SHAPES[name]
    model = made(config)
    model.activation_dtype = dtype
    ids = torch.randint(0, VOCABULARY, (ROWS, WINDOW + 1), generator=torch.Generator().manual_seed(0))
    real = bytes_kept(model, Batch(ids[:, :-1].clone(), ids[:, 1:].clone()))
    setup = setup_of(config, SIZES[dtype])
    counted = parameters_of(config, VOCABULARY)
    foretold = setup.tokens * (config.layers * block_bytes(setup) + end_bytes(setup))
    foretold += weight_copies(setup, counted) + 4 * VOCABULARY * config.width
    assert foretold == pytest.approx(real, rel=0.02)


@pytest.mark.parametrize("windows", [{}, {"batch_size": 4, "micro_batch_size": 2}, {"activation_checkpointing": True}])
def test_the_most_tensors_of_a_step_are_foretold_within_a_tenth(windows: dict[str, object]) -> None:
    config = ModelConfig(layers=4, width=64, heads=4, kv_heads=2, head_dim=16, feed_forward=192, context=WINDOW)
    setup = setup_of(config, **windows)
    model = made(config)
    model.recompute = setup.training.activation_checkpointing
    learner = Learner(model, setup.training, torch.float32)
    ids = torch.randint(0, VOCABULARY, (setup.training.batch_size, WINDOW + 1))
    batch = Batch(ids[:, :-1].clone(), ids[:, 1:].clone())
    loss_of = DistributedLoss(LossModule(model, summed_cross_entropy), "one")

    def step(number: int) -> None:
        take_step(learner, loss_of, batch, number, 1.0, Devices(), rows=ROWS, clip=1.0).wait()

    step(0)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(1)
    events = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    amounts = [each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())]
    state = sum(tensor.nbytes for group in learner.tensors().values() for tensor in group.values())
    assert footprint(setup).peak == pytest.approx(state + max(accumulate(amounts)), rel=0.1)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("average", [None, AverageConfig()])
def test_state_is_what_a_learner_holds_after_a_step(optimizer: str, average: AverageConfig | None) -> None:
    config = ALL_SHAPES["qwen3-untied"]
    training = TrainingConfig(optimizer=OptimizerConfig(name=optimizer), ema=average)
    learner = Learner(made(config), training, torch.float32)
    for parameter in learner.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    learner.optimizer.step(1.0)
    groups = learner.tensors()
    real = sum(tensor.nbytes for name in groups if name != "control" for tensor in groups[name].values() if tensor.ndim)
    assert state_bytes(parameters_of(config, VOCABULARY), training) == real
    parts = footprint(setup_of(config, optimizer={"name": optimizer}, ema=average and average.model_dump())).parts
    named = {part.name: part.size for part in parts}
    assert sum(named.get(name, 0) for name in ("weights", "optimizer state", "moving average")) == real
    assert named["gradients"] == sum(parameter.nbytes for parameter in learner.model.parameters())


def test_sharding_divides_the_state_and_adds_what_is_gathered() -> None:
    config = ALL_SHAPES["qwen3"]
    alone = setup_of(config, batch_size=8)
    shared = Setup(**{**vars(alone), "devices": 4, "strategy": "fsdp"})
    one = {part.name: part.size for part in footprint(alone).parts}
    four = {part.name: part.size for part in footprint(shared).parts}
    for name in ("weights", "gradients", "optimizer state"):
        assert four[name] == one[name] / 4
    assert four["activations"] == one["activations"]
    assert set(four) - set(one) == {"gathered weights"}


def test_recomputing_keeps_the_blocks_inputs_and_one_block() -> None:
    config = ALL_SHAPES["qwen3"]
    plain, again = setup_of(config), setup_of(config, activation_checkpointing=True)
    saved = (config.layers - 1) * block_bytes(plain) - config.layers * 4 * config.width
    sizes = [
        next(part.size for part in footprint(setup).parts if part.name == "activations") for setup in (plain, again)
    ]
    assert sizes[0] - sizes[1] == pytest.approx(plain.tokens * saved)


def test_the_peak_is_no_less_than_the_state_and_no_more_than_all_parts() -> None:
    for name in ("qwen3", "gpt2"):
        whole = footprint(setup_of(ALL_SHAPES[name]))
        state = sum(part.size for part in whole.parts[:2])
        assert state < whole.peak <= sum(part.size for part in whole.parts)
        assert whole.moment
