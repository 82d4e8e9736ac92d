"""The learning-rate range test: rates rise exponentially, step by step, until the loss diverges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from rich.console import Console

from tunesmith.atomic import write_text
from tunesmith.compat.lightning import stop
from tunesmith.contract.parameters import ParameterTable
from tunesmith.errors import ConfigError
from tunesmith.run.callback import non_finite
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.resume import loop_state
from tunesmith.task.base import Task

_BETA = 0.9  # of the loss's moving average: a tenth of 100 steps. With 0.98 the curve lags by half of them
_DIVERGED = 4.0  # times the lowest smoothed loss
_FELL = 0.99  # of the first loss: less of a fall is noise


@final
class RateFinder(Callback):
    """Raises the learning rates of all groups by one factor, from step to step, and finds where training works.

    The range test of Smith (Cyclical learning rates, 2017) with the exponential rise and the smoothed loss of fastai
    (Gugger, How do you find a good learning rate, 2018). The interval lies between the two rates that Gugger names: a
    tenth of that at which the smoothed loss is lowest, and that at which it falls fastest. The test ends where the loss
    is four times its lowest value. The policy stays in its first phase. When all is done, the weights and the random
    streams are put back as they were.

    Args:
        dirpath: Where ``lr_find.tsv`` and ``plots/lr_find.png`` go: the run folder.
        min_rate: The first ``optimizer.lr``.
        max_rate: The last one, unless the loss diverges before.
        console: Where the interval is printed; the command's.

    Raises:
        ConfigError: The rates do not rise.

    Attributes:
        rates: ``optimizer.lr`` at each step.
        losses: Training loss at each step.
        interval: Lower and upper ``optimizer.lr``; ``None`` where the loss did not fall by a hundredth.
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
        self._kept: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep what is to be put back.

        Raises:
            ConfigError: The head is fitted and not trained, or there are too few steps.
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
        self._kept = {"state": state, "table": task.table, "streams": loop_state.streams(task.device)}
        task.table = ParameterTable(task.table.rows, (replace(task.table.phases[0], plateau=None),))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the rates of the step, whatever the schedule says."""
        share = trainer.global_step / (trainer.max_steps - 1)
        rate = self.min_rate * (self.max_rate / self.min_rate) ** share
        if not self._micro:
            self.rates.append(rate)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["multiplier"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss, the same on all processes, and stop where it diverges."""
        mean = trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="mean")
        self._micro.append(float(mean))
        if trainer.global_step < len(self.rates):
            return  # more of this step is to come
        self.losses.append(sum(self._micro))
        self._micro = []
        smooth = smoothed(self.losses)
        stop(trainer, bool(not math.isfinite(self.losses[-1]) or smooth[-1] > _DIVERGED * smooth.min()))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put everything back, and say what was found."""
        task = cast(Task, pl_module)
        task.load_state_dict(self._kept["state"])
        task.table = self._kept["table"]
        task.zero_grad()
        loop_state.restore_streams(self._kept["streams"], task.device)
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
            said = f"The loss did not fall by a hundredth at any {key} from {rates[0]:.1e} to {rates[-1]:.1e}."
        else:
            low, high = self.interval
            said = (
                f"Training works at {key} from {low:.1e} to {high:.1e}; in the middle lies {key}={middle(low, high):g}"
            )
        self.console.print(f"{said}\nCurve: {shorten(image)}", highlight=False, soft_wrap=True)


def smoothed(losses: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Exponential moving average of the losses ``(S,)`` of S steps, without the bias of its start."""
    mean, found = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = _BETA * mean + (1 - _BETA) * float(loss)
        found.append(mean / (1 - _BETA**step))
    return np.array(found)


def find(rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """Find the interval of rates ``(S,)`` to choose from, given the losses ``(S,)``; ``None`` where they do not fall.

    Its ends are a tenth of the rate at which the smoothed loss is lowest, and the rate before that at which it falls
    fastest by the logarithm of the rate, in whichever order they come.
    """
    smooth = smoothed(losses)
    if len(losses) < 3 or smooth.min() > _FELL * smooth[0]:
        return None
    lowest = int(smooth.argmin())
    steepest = int(np.gradient(smooth, np.log10(rates))[: lowest + 1].argmin())
    low, high = sorted((float(rates[lowest]) / 10, float(rates[steepest])))
    return low, high


def middle(low: float, high: float) -> float:
    """The geometric mean, to two digits."""
    return float(f"{math.sqrt(low * high):.1e}")


def draw(
    rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64], interval: tuple[float, float] | None, key: str
) -> Figure:
    """Loss over rate, as measured and smoothed, with the interval shaded."""
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
