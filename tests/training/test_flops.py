"""Operations counted by hand, and peaks that are the maker's or unknown."""

from __future__ import annotations

import pytest
import torch
from tiny_model import QWEN3, VOCABULARY

from lumilab.model import Transformer
from lumilab.training.flops import named_peak, peak_operations, training_operations_per_token


@pytest.mark.parametrize("tied", [True, False])
def test_operations_are_six_a_multiplied_parameter_and_attention(tied: bool) -> None:
    model = Transformer(QWEN3.model_copy(update={"tie_embeddings": tied}), VOCABULARY)
    # A layer: queries and output 48 x 64, keys and values 48 x 32, three of 48 x 80, and four norms.
    layer = 2 * 48 * 64 + 2 * 48 * 32 + 3 * 48 * 80 + 2 * 48 + 2 * 16
    weights = 2 * layer + 48 + VOCABULARY * 48
    assert training_operations_per_token(model, 100) == 6 * weights + 12 * 2 * 64 * 100


@pytest.mark.parametrize(
    ("name", "dtype", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", torch.bfloat16, 989e12),
        ("NVIDIA H100 PCIe", torch.bfloat16, 756e12),
        ("NVIDIA H200", torch.float16, 989e12),
        ("NVIDIA A100-SXM4-80GB", torch.bfloat16, 312e12),
        ("NVIDIA A100 80GB PCIe", torch.float32, 19.5e12),
        ("NVIDIA GeForce RTX 4090", torch.bfloat16, 165.2e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", torch.bfloat16, None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", torch.bfloat16, None),
        ("Tesla T4", torch.float16, 65e12),
        ("Tesla T4", torch.bfloat16, None),
        ("Some GPU of the future", torch.bfloat16, None),
    ],
)
def test_peaks(name: str, dtype: torch.dtype, peak: float | None) -> None:
    assert named_peak(name, dtype) == peak


def test_float32_that_may_be_rounded_has_no_known_peak_nor_has_a_cpu() -> None:
    assert named_peak("NVIDIA H200", torch.float32, plain_float32=False) is None
    assert peak_operations(torch.device("cpu"), torch.float32) is None
