"""Floating-point operations of training, and what share of a device's peak a speed is (MFU).

Operations per token as in PaLM (Chowdhery et al. 2022, appendix B): 6 a parameter that is multiplied with, and
12 · layers · heads · head_dim · length for attention, which counts what causality hides, as everybody does. An
embedding is looked up, not multiplied with. A frozen parameter (under an adapter) has no gradient of its own: 4.

Peaks are those of the makers' data sheets for dense products (without sparsity), by the exact name that PyTorch tells:
a laptop's GPU of the same number is another. What is not in the table has no known peak: "unknown" rather than wrong.
"""

from __future__ import annotations

import re

import torch

from lumilab.model import Transformer

# (name as a pattern, operations a second in bfloat16 and float16, in float32 without tensor cores)
PEAKS: tuple[tuple[str, float, float], ...] = (
    (r"NVIDIA B200", 2_250e12, 80e12),
    (r"NVIDIA H200( NVL)?", 989e12, 67e12),
    (r"NVIDIA GH200 .*", 989e12, 67e12),
    (r"NVIDIA H100 80GB HBM[23]e?", 989e12, 67e12),
    (r"NVIDIA H100 NVL", 835e12, 60e12),
    (r"NVIDIA H100 PCIe", 756e12, 51e12),
    (r"NVIDIA H800", 989e12, 67e12),
    (r"NVIDIA H20", 148e12, 44e12),
    (r"NVIDIA A[18]00[- ].*", 312e12, 19.5e12),
    (r"NVIDIA A40", 149.7e12, 37.4e12),
    (r"NVIDIA A30", 165e12, 10.3e12),
    (r"NVIDIA A10", 125e12, 31.2e12),
    (r"NVIDIA L40S", 362e12, 91.6e12),
    (r"NVIDIA L40", 181e12, 90.5e12),
    (r"NVIDIA L4", 121e12, 30.3e12),
    (r"NVIDIA RTX 6000 Ada Generation", 364e12, 91.1e12),
    (r"NVIDIA GeForce RTX 5090", 209.5e12, 104.8e12),
    (r"NVIDIA GeForce RTX 4090", 165.2e12, 82.6e12),
    (r"NVIDIA GeForce RTX 4080", 97.5e12, 48.7e12),
    (r"NVIDIA GeForce RTX 3090", 71e12, 35.6e12),
    (r"NVIDIA GeForce RTX 3080", 59.5e12, 29.8e12),
    (r"AMD Instinct MI300X.*", 1_307e12, 163.4e12),
)
# Older ones, whose tensor cores know float16 alone.
HALF_PEAKS: tuple[tuple[str, float, float], ...] = (
    (r"Tesla V100-SXM2.*", 125e12, 15.7e12),
    (r"Tesla V100-PCIE.*", 112e12, 14e12),
    (r"Tesla T4", 65e12, 8.1e12),
)


def training_operations_per_token(model: Transformer, length: int) -> float:
    """Of the forward and the backward pass, in windows of `length` tokens."""
    config = model.config
    multiplied: list[torch.Tensor] = [parameter for name, parameter in model.named_parameters() if "embed_" not in name]
    if model.lm_head is None:
        multiplied.append(model.output_weight)
    products = sum((6.0 if parameter.requires_grad else 4.0) * parameter.numel() for parameter in multiplied)
    return products + 12.0 * config.layers * config.heads * config.head_dim * length


def peak_operations(device: torch.device, dtype: torch.dtype) -> float | None:
    """Operations a second that a device's data sheet promises; None where no sheet is known."""
    if device.type != "cuda":
        return None
    # Where float32 products may be rounded to tf32, the peak is another.
    plain = torch.get_float32_matmul_precision() == "highest"
    return named_peak(torch.cuda.get_device_name(device), dtype, plain_float32=plain)


def named_peak(name: str, dtype: torch.dtype, *, plain_float32: bool = True) -> float | None:
    """The same for a device's name."""
    if dtype is torch.float32 and not plain_float32:
        return None
    for pattern, half, single in PEAKS if dtype is torch.bfloat16 else (*PEAKS, *HALF_PEAKS):
        if re.fullmatch(pattern, name):
            return single if dtype is torch.float32 else half
    return None
