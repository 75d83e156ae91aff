"""The compiled loop: the same training, and the same bits however often it is stopped, also with several threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import quiet_context
from tiny_training import Counting, changed, fresh_model, states_in
from torch import Tensor

from lumilab.errors import Interrupted
from lumilab.training.hardware import missing_for_compile
from lumilab.training.loop import train

pytestmark = pytest.mark.skipif(bool(missing_for_compile()), reason=f"cannot compile here: {missing_for_compile()}")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """So that sums that several threads share would show their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run(folder: Path, stop_at: int | None = None, **changes: Any) -> dict[str, Tensor]:
    config = changed(**{"compile": "yes", "steps": 6, "batch_size": 16, "validate_every": 3} | changes)
    context, _ = quiet_context()
    objective = Counting(rows=16, length=64)
    objective.on_batch = lambda step: context.stop.request(2) if step == stop_at else None
    model = fresh_model()
    train(model, objective, config, states_in(folder, config), context, seed=5)
    return dict(model.state_dict())


def test_compiled_resumes_bit_for_bit_and_agrees_with_plain(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    for stop in (0, 3):
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", stop_at=stop)
    resumed = run(tmp_path / "stopped")
    plain = run(tmp_path / "plain", compile="no")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
        torch.testing.assert_close(tensor, plain[name], atol=2e-3, rtol=1e-2)
