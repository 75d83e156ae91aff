"""The moving average: by its definition, exchanged with the weights and back, restored bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lumilab.training.averaging import WeightAverage


def moved(model: nn.Module, draw: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw))


def test_it_follows_its_definition() -> None:
    model, draw = nn.Linear(4, 3), torch.Generator().manual_seed(0)
    average = WeightAverage(model, 0.6)
    expected = {name: parameter.detach().double() for name, parameter in model.named_parameters()}
    for step in range(12):
        moved(model, draw)
        average.update(step)
        kept = [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 9 / 18, 10 / 19, 11 / 20, 12 / 21][step]
        for name, parameter in model.named_parameters():
            expected[name] = kept * expected[name] + (1 - kept) * parameter.detach().double()
    for name, tensor in average.state_dict().items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-6, rtol=1e-5)
    for step in (13, 14, 500):  # 14/23 is more than 0.6
        before = average.state_dict()["bias"].double().clone()
        average.update(step)
        now = 0.6 * before + 0.4 * model.bias.detach().double()
        torch.testing.assert_close(average.state_dict()["bias"].double(), now, atol=1e-6, rtol=1e-5)


def test_in_the_model_for_a_while_changes_nothing() -> None:
    model, draw = nn.Linear(4, 3), torch.Generator().manual_seed(0)
    average = WeightAverage(model, 0.9)
    moved(model, draw)
    average.update(3)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    averaged = [tensor.clone() for tensor in average.state_dict().values()]
    with pytest.raises(KeyboardInterrupt), average.in_model():
        assert all(map(torch.equal, model.parameters(), averaged))
        raise KeyboardInterrupt
    assert all(map(torch.equal, model.parameters(), weights))
    assert all(map(torch.equal, average.state_dict().values(), averaged))
    assert not any(map(torch.equal, weights, averaged))
    average.exchange()
    assert all(map(torch.equal, model.parameters(), averaged))
