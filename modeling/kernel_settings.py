"""The switches of torch that decide which kernels a computation launches, as one value."""

from collections.abc import Hashable
from typing import Any

import torch

ATTENTION = ("flash_sdp_enabled", "mem_efficient_sdp_enabled", "math_sdp_enabled", "cudnn_sdp_enabled")
REDUCTIONS = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")


def kernel_settings(device: torch.device) -> Hashable:
    """Autocast, precision, determinism and attention as they are for the calling thread now."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    autocast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
    attention = tuple(getattr(cuda, name)() for name in ATTENTION)
    order = getattr(torch._C, "_get_sdp_priority_order", tuple)()
    deterministic = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
    )
    kernels = cudnn.enabled, cudnn.benchmark, torch.get_default_dtype()
    reductions = tuple(repr(getattr(cuda.matmul, name)) for name in REDUCTIONS)
    return autocast, attention, tuple(order), deterministic, kernels, reductions, float32_precision(cuda, cudnn)


def float32_precision(cuda: Any, cudnn: Any) -> tuple:
    """Whether products of float32 are rounded to TF32; torch has two ways to say so, and refuses the older one where
    the newer was used."""
    if hasattr(cuda.matmul, "fp32_precision"):
        return torch.backends.fp32_precision, cuda.matmul.fp32_precision, cudnn.conv.fp32_precision
    return torch.get_float32_matmul_precision(), cuda.matmul.allow_tf32, cudnn.allow_tf32
