"""Run the learning-rate range test: raise the rate exponentially, step by step, until the loss diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, cast, final

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from tunesmith.atomic import write_text
from tunesmith.compat.lightning import stop
from tunesmith.contract.batch import Batch
from tunesmith.contract.parameters import ParameterTable
from tunesmith.errors import ConfigError
from tunesmith.run.callback import non_finite
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.resume import loop_state
from tunesmith.task.base import Task

_BETA = 0.9  # of the loss's moving average; with 0.98 the curve of 100 steps lags by half of them
_DIVERGED = 4.0  # times the lowest smoothed loss
_FELL = 0.99  # times the first loss: a smaller decrease is noise


class _Before(TypedDict):
    """What the test restores afterwards."""

    state: dict[str, Tensor]
    table: ParameterTable
    streams: loop_state.Streams


@final
class RateFinder(Callback):
    """Raises the learning rates of all groups by a constant factor per step and finds a range that works.

    The range test of Smith (Cyclical learning rates, 2017) with the exponential schedule and the smoothed loss of
    fastai (Gugger, How do you find a good learning rate, 2018). The interval is bounded by Gugger's two rates: a tenth
    of the rate with the lowest smoothed loss, and the rate with the steepest descent. The test ends when the smoothed
    loss exceeds four times its minimum. The policy stays in its first phase. Weights and random states are restored.

    Args:
        dirpath: Run folder, for ``lr_find.tsv`` and ``plots/lr_find.png``.
        min_rate: First ``optimizer.lr``.
        max_rate: Last ``optimizer.lr``, unless the loss diverges before.
        console: The command's console.

    Raises:
        ConfigError: ``min_rate`` is not positive or not below ``max_rate``.

    Attributes:
        rates: ``optimizer.lr`` per step.
        losses: Training loss per step.
        interval: Lower and upper ``optimizer.lr``; ``None`` if the loss did not fall by 1 %.
    """

    def __init__(
        self, dirpath: str, min_rate: float = 1e-6, max_rate: float = 10.0, console: Console | None = None
    ) -> None:
        if not 0 < min_rate < max_rate:
            raise ConfigError(
                f"Expected callback.lr_find.min_rate above 0 and below max_rate but got {min_rate} and {max_rate}."
            )
        self.folder = Path(dirpath)
        self.min_rate, self.max_rate = min_rate, max_rate
        self.console = console or Console()
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.interval: tuple[float, float] | None = None
        self._micro: list[float] = []
        self._before: _Before | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy what `on_fit_end` restores.

        Raises:
            ConfigError: The head is fitted rather than trained, or there are fewer than 20 steps.
        """
        task = cast(Task, pl_module)
        if task.head_fit is not None:
            raise ConfigError(
                "Expected a head that is trained step by step for debug=lr_find but got one that is fitted."
            )
        if trainer.max_steps < 20:
            raise ConfigError(f"Expected trainer.max_steps to be at least 20 but got {trainer.max_steps}.")
        non_finite.of(trainer).stops = False
        state = {name: tensor.clone() for name, tensor in task.state_dict().items()}
        self._before = {"state": state, "table": task.table, "streams": loop_state.streams(task.device)}
        task.table = ParameterTable(task.table.rows, (replace(task.table.phases[0], plateau=None),))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Set the rates of the step, overriding the schedule."""
        share = trainer.global_step / (trainer.max_steps - 1)
        rate = self.min_rate * (self.max_rate / self.min_rate) ** share
        if not self._micro:
            self.rates.append(rate)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["multiplier"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Record the loss, averaged over processes, and stop if it diverges."""
        assert isinstance(outputs, Mapping)
        mean = trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="mean")
        self._micro.append(float(mean))
        if trainer.global_step < len(self.rates):
            return  # the step has more micro-batches
        self.losses.append(sum(self._micro))
        self._micro = []
        smooth = smoothed(self.losses)
        stop(trainer, bool(not math.isfinite(self.losses[-1]) or smooth[-1] > _DIVERGED * smooth.min()))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore everything and report the interval."""
        task = cast(Task, pl_module)
        assert self._before is not None
        task.load_state_dict(self._before["state"])
        task.table = self._before["table"]
        task.zero_grad()
        loop_state.restore_streams(self._before["streams"], task.device)
        kept = [i for i, loss in enumerate(self.losses) if math.isfinite(loss)]
        rates, losses = np.array(self.rates)[kept], np.array(self.losses)[kept]
        self.interval = find(rates, losses)
        if trainer.is_global_zero:
            self._leave(
                rates, losses, "policy.phases.0.optimizer.lr" if task.table.phases[0].optimizer else "optimizer.lr"
            )

    def _leave(self, rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64], key: str) -> None:
        smooth = smoothed(losses)
        rows = [f"{r:.6g}\t{loss:.6g}\t{s:.6g}" for r, loss, s in zip(rates, losses, smooth, strict=True)]
        write_text(self.folder / "lr_find.tsv", "\n".join([f"{key}\tloss\tsmoothed", *rows]) + "\n")
        image = self.folder / "plots" / "lr_find.png"
        image.parent.mkdir(exist_ok=True)
        draw(rates, losses, self.interval, key).savefig(image, dpi=120)
        if self.interval is None:
            said = f"The loss did not fall by 1 % at any {key} from {rates[0]:.1e} to {rates[-1]:.1e}."
        else:
            low, high = self.interval
            said = f"Training works at {key} from {low:.1e} to {high:.1e}; try the middle, {key}={middle(low, high):g}"
        self.console.print(f"{said}\nCurve: {shorten(image)}", highlight=False, soft_wrap=True)


def smoothed(losses: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the bias-corrected exponential moving average of the losses ``(S,)`` of S steps."""
    mean, found = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = _BETA * mean + (1 - _BETA) * float(loss)
        found.append(mean / (1 - _BETA**step))
    return np.array(found)


def find(rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """Find the interval of useful rates ``(S,)`` from the losses ``(S,)``; ``None`` if these do not fall.

    Its bounds, in either order, are a tenth of the rate with the lowest smoothed loss, and the rate before the minimum
    with the steepest descent over the logarithm of the rate.
    """
    smooth = smoothed(losses)
    if len(losses) < 3 or smooth.min() > _FELL * smooth[0]:
        return None
    lowest = int(smooth.argmin())
    steepest = int(np.gradient(smooth, np.log10(rates))[: lowest + 1].argmin())
    low, high = sorted((float(rates[lowest]) / 10, float(rates[steepest])))
    return low, high


def middle(low: float, high: float) -> float:
    """Return the geometric mean to two digits."""
    return float(f"{math.sqrt(low * high):.1e}")


def draw(
    rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64], interval: tuple[float, float] | None, key: str
) -> Figure:
    """Draw the measured and the smoothed loss over the rate, with the interval shaded."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes, smooth = figure.subplots(), smoothed(losses)
    axes.plot(rates, losses, color="#a0aec0", linewidth=1, label="loss")
    axes.plot(rates, smooth, color="#2b6cb0", label="smoothed")
    if interval is not None:
        axes.axvspan(*interval, color="#dd6b20", alpha=0.2, label=f"{interval[0]:.1e} to {interval[1]:.1e}")
    low, high = float(smooth.min()), float(smooth[: max(1, int(smooth.argmin()) + 1)].max())
    room = 0.5 * (high - low) + 0.05 * abs(high)
    axes.set(xscale="log", xlabel=key, ylabel="training loss", ylim=(low - room, high + 2 * room))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return figure
