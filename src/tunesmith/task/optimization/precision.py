"""Use full precision where mixed precision is slower on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def depthwise_in_float32(module: nn.Module) -> int:
    """Run grouped convolutions in float32 whose backward pass is slow in bfloat16 on a CPU.

    oneDNN has no fast bfloat16 gradient for depthwise convolutions with 5×5 kernels or strides: it took 3 to 5 times as
    long as in float32 (AMD Zen 4, torch 2.15). With this, EfficientNet-Lite0 trains 1.7 times as fast under bf16-mixed,
    including the casts. Without autocast nothing changes.

    Args:
        module: The network; its convolutions get hooks, names and weights stay. A second call does nothing.

    Returns:
        The number of convolutions concerned.
    """
    slow = [
        m
        for m in module.modules()
        if isinstance(m, nn.Conv2d) and m.groups > 1 and (max(m.kernel_size) > 3 or max(m.stride) > 1)
        if not hasattr(m, "in_float32")
    ]
    for convolution in slow:
        state: list[bool] = []  # a stack of autocast states on entering the convolution

        def enter(_: nn.Module, inputs: tuple[Tensor, ...], state: list[bool] = state) -> tuple[Tensor, ...]:
            state.append(torch.is_autocast_enabled("cpu"))
            torch.set_autocast_enabled("cpu", False)
            return tuple(x.float() for x in inputs) if state[-1] else inputs

        def leave(_: nn.Module, inputs: object, output: object, state: list[bool] = state) -> None:
            torch.set_autocast_enabled("cpu", state.pop())

        convolution.register_forward_pre_hook(enter)
        convolution.register_forward_hook(leave, always_call=True)
        convolution.in_float32 = True  # type: ignore[assignment]  # a mark of ours, no tensor
    return len(slow)
