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
            lists: list[list[Tensor]] = [[], [], [], [], []]
            parameters, gradients, means, squares, steps = lists
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state.get(parameter)
                if not state or not _plain(parameter):
                    self.step()
                    return
                parameters.append(parameter)
                gradients.append(gradient)
                means.append(state["exp_avg"])
                squares.append(state["exp_avg_sq"])
                steps.append(state["step"])
            if parameters:
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
