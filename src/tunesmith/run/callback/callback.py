"""Callbacks that Lightning does not have: averaged weights that keep frozen bits, throughput, collected predictions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.callbacks.progress.rich_progress import ProcessingSpeedColumn
from rich.progress import BarColumn
from torch import Tensor

from tunesmith.compat.lightning import RateMonitor
from tunesmith.compat.required import assign
from tunesmith.compat.torch import lerp
from tunesmith.errors import ConfigError
from tunesmith.task.base import Task


class EMA(WeightAveraging):
    """Exponential moving average of the weights; validation, checkpoints and the end of training use the average.

    Unlike Lightning's own, it averages by ``average += (1 - decay) * (weight - average)``, which leaves a weight that
    does not move exactly as it is, and it warms up, so that a short run does not end near its random start.

    Args:
        decay: Share of the average kept at each step; early on it is ``(1 + step) / (10 + step)`` if that is less.
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = decay
        super().__init__(use_buffers=True, multi_avg_fn=self._average)

    @torch.no_grad()
    def _average(self, averages: Any, weights: Any, count: Tensor | int) -> None:
        if not torch.is_floating_point(averages[0]):
            for average, weight in zip(averages, weights, strict=True):
                average.copy_(weight)
            return
        step = int(count)
        decay = min(self.decay, (1 + step) / (10 + step))
        lerp(averages, weights, 1 - decay)


class Ingredients(ModelCheckpoint):
    """Keeps the best epochs, to be averaged when training is over.

    Args:
        dirpath: A folder of their own.
        monitor: The metric that says which are best; without one nothing is kept.
        mode: Whether more or less of it is better.
        save_top_k: How many.

    Raises:
        ConfigError: There would be fewer than two.
    """

    def __init__(self, dirpath: str, monitor: str | None, mode: Literal["min", "max"], save_top_k: int = 5) -> None:
        if save_top_k < 2:
            raise ConfigError(f"Expected callback.soup.save_top_k to be at least 2 but got {save_top_k}.")
        super().__init__(
            dirpath=dirpath,
            filename="epoch-{epoch}",
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k if monitor else 0,
            auto_insert_metric_name=False,
        )


class LearningRates(RateMonitor):
    """Lightning's, with the rates that groups have while they ramp or warm up, and not only those of the schedule."""

    def rate(self, group: Mapping[str, Any]) -> float:
        """The schedule's rate, as far as the gate lets it through."""
        gate: float = group.get("gate", 1.0)
        return super().rate(group) * gate


class ProgressBar(RichProgressBar):
    """A bar an epoch, with the loss and the monitored metric of the last validation."""

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Lightning's columns, within 80: a short bar, and no speed, which `Throughput` measures better."""
        columns = [c for c in super().configure_columns(trainer) if not isinstance(c, ProcessingSpeedColumn)]
        for column in columns:
            if isinstance(column, BarColumn):
                assign("rich", column, "bar_width", 14)
        return columns

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands beside the bar; short, so that a terminal of 80 columns holds it."""
        values = trainer.progress_bar_metrics
        shown: dict[str, Any] = {"loss": values.get("train/loss_step")}
        monitor = cast(Task, pl_module).monitor
        if monitor:
            shown[monitor.rpartition("/")[2]] = trainer.callback_metrics.get(monitor)
        return {name: f"{float(value):.3f}" for name, value in shown.items() if value is not None}


class Throughput(Callback):
    """Samples per second of the training loop, validation left out."""

    def __init__(self) -> None:
        self.samples = 0
        self.seconds = 0.0
        self._since = 0.0

    @property
    def samples_per_second(self) -> float | None:
        """Mean over all epochs; ``None`` before the first batch."""
        return self.samples / self.seconds if self.seconds else None

    def state_dict(self) -> dict[str, Any]:
        """Give samples and seconds so far."""
        return {"samples": self.samples, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.samples, self.seconds = state_dict["samples"], state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run may be in the middle of an epoch."""
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count; the clock is read here so that validation inside an epoch stays out."""
        now = time.perf_counter()
        self.samples += len(batch["index"]) * trainer.world_size
        self.seconds += now - self._since
        self._since = now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock."""
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the mean so far."""
        pl_module.log("train/samples_per_second", self.samples_per_second or 0.0, sync_dist=True)


class Collect(Callback):
    """Keeps what test steps give, from all ranks."""

    def __init__(self) -> None:
        self._steps: list[dict[str, Any]] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self._steps = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch on the CPU."""
        self._steps.append(move_data_to_device(outputs, "cpu"))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the ranks' shares together."""
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, self._steps)
            self._steps = [step for share in shares for step in share]

    def collected(self) -> dict[str, Any]:
        """What `Kind.score` kept of all samples, and ``index`` ``(N,)``: tensors ``(N, …)``, or lists of N.

        All in the order of the table.
        """
        whole = joined(self._steps)
        order = whole["index"].argsort()
        return {k: v[order] if isinstance(v, Tensor) else [v[i] for i in order.tolist()] for k, v in whole.items()}


def joined(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put what steps gave together, by name: tensors ``(B, …)``, or lists of B."""
    columns = {name: [step[name] for step in steps] for name in steps[0]}
    return {
        name: torch.cat(parts) if isinstance(parts[0], Tensor) else [value for part in parts for value in part]
        for name, parts in columns.items()
    }
