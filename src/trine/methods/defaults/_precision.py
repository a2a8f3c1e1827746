"""bfloat16 where it pays."""

from __future__ import annotations

import torch


def precision() -> tuple[str, str]:
    """(value, why) of ``autocast`` for a network of convolutions: bfloat16 where the processor multiplies in it."""
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bf16", "the GPU multiplies in bfloat16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return "bf16", "this processor multiplies in bfloat16, about twice as fast"
    return "none", "this processor has no bfloat16 products"
