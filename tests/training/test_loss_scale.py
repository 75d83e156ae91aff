"""The loss scale of float16, step by step beside torch.amp.GradScaler."""

from __future__ import annotations

import pytest
import torch

from lumilab.training import loss_scale
from lumilab.training.loss_scale import LossScale


def test_the_scale_goes_the_way_of_pytorchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "PATIENCE", 4)
    ours = LossScale(torch.device("cpu"))
    theirs = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=4)
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scales = set()
    draw = torch.Generator().manual_seed(0)
    for step in range(60):
        overflow = bool(torch.rand((), generator=draw) < 0.15) or step < 3
        weight.grad = theirs.scale(torch.full((3,), float("inf") if overflow else 0.5)).clone()
        assert torch.equal(ours.scale, torch.tensor(theirs.get_scale()))
        scales.add(ours.scale.item())
        mine = [weight.grad.clone()]
        ours.unscale(mine)
        theirs.unscale_(optimizer)
        assert torch.equal(mine[0], weight.grad)
        theirs.step(optimizer)
        theirs.update()
        ours.update(mine[0].norm())
        if step == 30:
            restored = LossScale(torch.device("cpu"))
            restored.load_state_dict({name: tensor.clone() for name, tensor in ours.state_dict().items()})
            ours = restored
    assert len(scales) > 3
