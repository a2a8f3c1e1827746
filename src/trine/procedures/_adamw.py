"""AdamW without the wrapping around its kernel, which costs a small network as much as a layer does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class AdamW(torch.optim.AdamW):
    """AdamW in one kernel (Loshchilov and Hutter, 2019), with :meth:`advance` for ``step``: the same numbers, to the bit.

    On a CPU ``step`` spends a third of its time on profiling hooks and on sorting tensors by device and type, at every step to
    the same end.
    """

    def advance(self) -> None:
        """What ``step`` does; straight to the kernel once every parameter that has a gradient has its moments."""
        calls: list[tuple[dict[str, Any], list[list[Tensor]]]] = []
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            states = [self.state.get(p) for p in moving]
            if not all(states) or not all(_plain(p) for p in moving):
                self.step()
                return
            if moving:
                lists = [moving, [p.grad for p in moving]]
                lists += [[s[name] for s in states if s] for name in ("exp_avg", "exp_avg_sq", "step")]
                calls.append((group, lists))
        with torch.no_grad():
            for group, (parameters, gradients, means, squares, steps) in calls:
                torch._foreach_add_(steps, 1)
                torch._fused_adamw_(
                    parameters,
                    gradients,
                    means,
                    squares,
                    [],
                    steps,
                    amsgrad=False,
                    lr=group["lr"],
                    beta1=group["betas"][0],
                    beta2=group["betas"][1],
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    maximize=False,
                )


def _plain(parameter: Tensor) -> bool:
    """Whether the kernel can be called with it as it is: no shard of a tensor, on a CPU, of one type with the others."""
    return type(parameter) is nn.Parameter and parameter.is_cpu and parameter.dtype is torch.float32
