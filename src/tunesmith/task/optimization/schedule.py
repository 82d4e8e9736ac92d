"""Define learning-rate schedules as pure functions of the optimizer step, with the same factor for every group.

A schedule that takes ``total_steps`` is stepped after every optimizer step, any other (torch's own, by ``_target_``)
after every epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR


def constant(optimizer: Optimizer, total_steps: int, warmup: float = 0.0) -> LambdaLR:
    """Keep the rate constant after a linear warm-up.

    Args:
        optimizer: The optimizer to schedule.
        total_steps: Optimizer steps of the whole run.
        warmup: Share of the steps with a rising rate, 0 to 1.
    """
    return _schedule(optimizer, total_steps, warmup, lambda done: 1.0)


def cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.05, floor: float = 0.0) -> LambdaLR:
    """Rise linearly, then fall along half a cosine (Loshchilov and Hutter, SGDR, 2017).

    Args:
        optimizer: The optimizer to schedule.
        total_steps: Optimizer steps of the whole run.
        warmup: Share of the steps with a rising rate, 0 to 1.
        floor: Factor at the end, 0 to 1.
    """
    return _schedule(
        optimizer, total_steps, warmup, lambda done: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
    )


def step(optimizer: Optimizer, total_steps: int, steps_per_epoch: int, every: int = 10, gamma: float = 0.1) -> LambdaLR:
    """Multiply the rate by a factor every few epochs.

    Args:
        optimizer: The optimizer to schedule.
        total_steps: Optimizer steps of the whole run.
        steps_per_epoch: Optimizer steps per epoch.
        every: Epochs between drops.
        gamma: Factor per drop.
    """
    return LambdaLR(optimizer, lambda step: gamma ** (step // (every * steps_per_epoch)))


def one_cycle(
    optimizer: Optimizer, total_steps: int, warmup: float = 0.15, start: float = 25.0, end: float = 1e4
) -> OneCycleLR:
    """Rise and fall once along cosines; each group peaks at its own rate (Smith and Topin, Super-Convergence, 2018).

    Args:
        optimizer: The optimizer to schedule.
        total_steps: Optimizer steps of the whole run.
        warmup: Share of the steps with a rising rate, 0 to 1.
        start: Ratio of the peak to the first rate.
        end: Ratio of the first rate to the last.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    # Momentum is not cycled, which would override the optimizer's own options.
    return OneCycleLR(
        optimizer,
        max_lr=peaks,
        total_steps=total_steps,
        pct_start=warmup,
        div_factor=start,
        final_div_factor=end,
        cycle_momentum=False,
    )


def _schedule(optimizer: Optimizer, total_steps: int, warmup: float, after: Callable[[float], float]) -> LambdaLR:
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return after(min(1.0, (step - rising) / max(1, total_steps - rising)))

    return LambdaLR(optimizer, factor)
