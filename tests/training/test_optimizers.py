"""AdamW against its definition, Muon against the singular value decomposition, and states restored bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_model import QWEN3
from tiny_training import Counting, fresh_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lumilab.errors import MismatchError
from lumilab.model import Transformer
from lumilab.recipe.training import OptimizerConfig
from lumilab.training.muon import Muon, orthogonalise
from lumilab.training.objective import summed_cross_entropy
from lumilab.training.optimizers import TrainingOptimizer, is_hidden_matrix

ADAMW = OptimizerConfig(learning_rate=0.01, weight_decay=0.3)
MUON = OptimizerConfig(name="muon", learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.3, momentum=0.9)


def step(model: Transformer, optimizer: TrainingOptimizer, number: int, share: float = 1.0) -> None:
    optimizer.zero_grad()
    (summed_cross_entropy(model, Counting().batch(number)) / 50).backward()
    optimizer.step(share)


def test_adamw_follows_its_definition_and_spares_norms_and_embeddings_from_decay() -> None:
    model = fresh_model()
    optimizer = TrainingOptimizer(model, ADAMW, torch.float32)
    weights = {name: parameter.detach().double().clone() for name, parameter in model.named_parameters()}
    mean = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    square = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for number in range(4):
        share = (0.25, 0.5, 1.0, 0.1)[number]
        step(model, optimizer, number, share)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradient, rate = parameter.grad.double(), 0.01 * share
            decay = 0.3 if parameter.ndim == 2 and name != "model.embed_tokens.weight" else 0.0
            mean[name] = 0.9 * mean[name] + 0.1 * gradient
            square[name] = 0.95 * square[name] + 0.05 * gradient**2
            weights[name] *= 1 - rate * decay
            corrected = square[name] / (1 - 0.95 ** (number + 1))
            weights[name] -= rate * mean[name] / (1 - 0.9 ** (number + 1)) / (corrected.sqrt() + 1e-8)
            torch.testing.assert_close(parameter.double(), weights[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 48, 128), (2, 128, 48), (1, 8, 200)])
def test_orthogonalised_matrices_are_near_the_closest_semi_orthogonal_ones(shape: tuple[int, int, int]) -> None:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(noise, full_matrices=False)
    matrices = left * torch.logspace(0, -2, values.shape[-1]) @ right
    for dtype, tolerance in ((torch.float32, 0.2), (torch.bfloat16, 0.25)):
        result = orthogonalise(1e-4 * matrices, dtype).float()
        assert result.shape == matrices.shape
        values = torch.linalg.svdvals(result)
        assert values.min() > 1 - tolerance and values.max() < 1 + tolerance
        closest = left @ right
        assert (result - closest).norm() / closest.norm() < tolerance


def test_a_zero_gradient_stays_zero() -> None:
    assert torch.equal(orthogonalise(torch.zeros(1, 4, 6), torch.bfloat16).float(), torch.zeros(1, 4, 6))


def test_muons_step_is_nesterov_momentum_orthogonalised_scaled_and_decayed() -> None:
    draw = torch.Generator().manual_seed(3)
    tall, wide = torch.nn.Parameter(torch.randn(80, 20)), torch.nn.Parameter(torch.randn(20, 80))
    optimizer = Muon([tall, wide], learning_rate=0.1, momentum=0.9, weight_decay=0.5, dtype=torch.float32)
    momentum = {tall: torch.zeros(80, 20), wide: torch.zeros(20, 80)}
    for _ in range(3):
        before = {parameter: parameter.detach().clone() for parameter in momentum}
        for parameter, mean in momentum.items():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
            mean.mul_(0.9).add_(parameter.grad, alpha=0.1)
        optimizer.step()
        for parameter, scale in ((tall, 2.0), (wide, 1.0)):
            assert parameter.grad is not None
            ahead = 0.9 * momentum[parameter] + 0.1 * parameter.grad
            update = orthogonalise(ahead[None], torch.float32)[0]
            expected = before[parameter] * (1 - 0.1 * 0.5) - 0.1 * scale * update
            torch.testing.assert_close(parameter.detach(), expected, atol=1e-5, rtol=1e-4)


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    model = Transformer(QWEN3.model_copy(update={"tie_embeddings": False}), 50)
    optimizer = TrainingOptimizer(model, MUON, torch.float32)
    taken = {optimizer.names[parameter] for parameter in optimizer.parts[0].param_groups[0]["params"]}
    projections = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert taken == {name for name, _ in model.named_parameters() if any(part in name for part in projections)}
    assert {name for name, parameter in model.named_parameters() if is_hidden_matrix(name, parameter)} == taken
    rest = {optimizer.names[p] for group in optimizer.parts[1].param_groups for p in group["params"]}
    assert taken | rest == {name for name, _ in model.named_parameters()} and not taken & rest


class DtypesSeen(TorchDispatchMode):
    """Notes the dtype of every tensor that an operation in the block gives."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.dtypes.update(leaf.dtype for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_muon_multiplies_in_the_asked_arithmetic_only(dtype: torch.dtype) -> None:
    model = fresh_model()
    optimizer = TrainingOptimizer(model, MUON, dtype)
    summed_cross_entropy(model, Counting().batch(0)).backward()
    with DtypesSeen() as seen:
        optimizer.step(1.0)
    assert (torch.bfloat16 in seen.dtypes) == (dtype is torch.bfloat16)


def test_float16_products_do_not_lose_small_gradients() -> None:
    gradient = torch.randn(1, 32, 64, generator=torch.Generator().manual_seed(1)) * 1e-8
    exact, half = orthogonalise(gradient, torch.float32), orthogonalise(gradient, torch.float16).float()
    assert torch.cosine_similarity(exact.flatten(), half.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("config", [ADAMW, MUON], ids=["adamw", "muon"])
def test_a_state_from_before_the_first_step_is_one(config: OptimizerConfig) -> None:
    optimizer = TrainingOptimizer(fresh_model(), config, torch.float32)
    saved = optimizer.state_dict()
    assert all(not tensor.any() for tensor in saved.values())
    model = fresh_model()
    restored = TrainingOptimizer(model, config, torch.float32)
    step(model, restored, 0)
    restored.load_state_dict(saved)
    assert {name: tensor.tolist() for name, tensor in restored.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in saved.items()
    }


@pytest.mark.parametrize("config", [ADAMW, MUON], ids=["adamw", "muon"])
def test_a_restored_optimizer_goes_on_bit_for_bit(config: OptimizerConfig) -> None:
    model = fresh_model()
    optimizer = TrainingOptimizer(model, config, torch.float32)
    for number in range(3):
        step(model, optimizer, number)
    saved = {name: tensor.clone() for name, tensor in optimizer.state_dict().items()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for number in range(3, 6):
        step(model, optimizer, number)

    again = fresh_model()
    again.load_state_dict(weights)
    restored = TrainingOptimizer(again, config, torch.float32)
    restored.load_state_dict(saved)
    for number in range(3, 6):
        step(again, restored, number)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert {name: tensor.tolist() for name, tensor in optimizer.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in restored.state_dict().items()
    }


def test_another_models_state_is_refused_by_name() -> None:
    model = fresh_model()
    optimizer = TrainingOptimizer(model, ADAMW, torch.float32)
    step(model, optimizer, 0)
    state = {name.replace("layers.1", "layers.9"): tensor for name, tensor in optimizer.state_dict().items()}
    with pytest.raises(MismatchError, match=r"layers\.[19]"):
        TrainingOptimizer(fresh_model(), ADAMW, torch.float32).load_state_dict(state)
