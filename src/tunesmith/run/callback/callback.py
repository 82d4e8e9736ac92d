"""Provide callbacks that Lightning lacks: weight averages that keep frozen bits, throughput, collected predictions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, cast

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.callbacks.progress.rich_progress import ProcessingSpeedColumn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from rich.progress import BarColumn, ProgressColumn
from torch import Tensor

from tunesmith.compat.lightning import RateMonitor
from tunesmith.compat.required import assign
from tunesmith.compat.torch import lerp
from tunesmith.contract.batch import Batch
from tunesmith.errors import ConfigError
from tunesmith.task.base import Task

Step: TypeAlias = "Mapping[str, Tensor | Sequence[object]]"
"""What a step returns by name: tensors ``(B, …)``, or lists of B."""


class EMA(WeightAveraging):
    """Exponential moving average of the weights, used in validation, checkpoints and after training.

    Unlike Lightning's, it averages by ``average += (1 - decay) * (weight - average)``, which keeps the bits of a weight
    that does not move, and it warms up, so that a short run does not end near its random start.

    Args:
        decay: Share of the average kept per step, at most ``(1 + step) / (10 + step)``.
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = decay
        super().__init__(use_buffers=True, multi_avg_fn=self._average)

    @torch.no_grad()
    def _average(self, averages: list[Tensor], weights: list[Tensor], count: Tensor | int) -> None:
        if not torch.is_floating_point(averages[0]):
            for average, weight in zip(averages, weights, strict=True):
                average.copy_(weight)
            return
        step = int(count)
        decay = min(self.decay, (1 + step) / (10 + step))
        lerp(averages, weights, 1 - decay)


class Ingredients(ModelCheckpoint):
    """Keeps the checkpoints of the best epochs, to be averaged after training.

    Args:
        dirpath: Folder for these checkpoints only.
        monitor: Metric to rank epochs by; with ``None`` nothing is kept.
        mode: Whether the metric is to be minimised or maximised.
        save_top_k: Number of epochs to keep.

    Raises:
        ConfigError: ``save_top_k`` is below 2.
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
    """Logs the learning rates, with the gates of groups that ramp or warm up."""

    def rate(self, group: Mapping[str, float]) -> float:
        """Return the schedule's rate times the group's gate."""
        return super().rate(group) * group.get("gate", 1.0)


class ProgressBar(RichProgressBar):
    """Shows a bar per epoch with the loss and the monitored metric of the last validation."""

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """Return columns that fit into 80 characters: a short bar, and no speed, which `Throughput` measures."""
        columns = [c for c in super().configure_columns(trainer) if not isinstance(c, ProcessingSpeedColumn)]
        for column in columns:
            if isinstance(column, BarColumn):
                assign("rich", column, "bar_width", 14)
        return columns

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the loss and the monitored metric, with 3 decimals."""
        shown: dict[str, float | Tensor | None] = {"loss": trainer.progress_bar_metrics.get("train/loss_step")}
        monitor = cast(Task, pl_module).monitor
        if monitor:
            shown[monitor.rpartition("/")[2]] = trainer.callback_metrics.get(monitor)
        return {name: f"{float(value):.3f}" for name, value in shown.items() if value is not None}


class Throughput(Callback):
    """Measures samples per second of the training loop, without validation."""

    def __init__(self) -> None:
        self.samples = 0
        self.seconds = 0.0
        self._since = 0.0

    @property
    def samples_per_second(self) -> float | None:
        """The mean over all epochs; ``None`` before the first batch."""
        return self.samples / self.seconds if self.seconds else None

    def state_dict(self) -> dict[str, float]:
        """Return samples and seconds so far."""
        return {"samples": self.samples, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Continue counting."""
        self.samples, self.seconds = int(state_dict["samples"]), state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run may start within an epoch."""
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int
    ) -> None:
        """Count samples and seconds; reading the clock here excludes validation within an epoch."""
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
    """Collects what test steps return, from all ranks."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard an earlier test."""
        self._steps = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a step's outputs on the CPU."""
        self._steps.append(move_data_to_device(outputs, "cpu"))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the ranks' steps."""
        if trainer.world_size > 1:
            shares: list[list[Step]] = [[]] * trainer.world_size
            torch.distributed.all_gather_object(shares, self._steps)
            self._steps = [step for share in shares for step in share]

    def collected(self) -> dict[str, Tensor | list[object]]:
        """Return what `Kind.score` kept of all samples, in the table's order.

        Returns:
            Tensors ``(N, …)`` or lists of N by name, among them ``index`` ``(N,)``.
        """
        whole = joined(self._steps)
        index = whole["index"]
        assert isinstance(index, Tensor)
        order = index.argsort()
        return {k: v[order] if isinstance(v, Tensor) else [v[i] for i in order.tolist()] for k, v in whole.items()}


def joined(steps: Sequence[Step]) -> dict[str, Tensor | list[object]]:
    """Concatenate the outputs of steps by name: tensors ``(N, …)``, or lists of N."""
    return {name: _concatenated([step[name] for step in steps]) for name in steps[0]}


def _concatenated(parts: Sequence[Tensor | Sequence[object]]) -> Tensor | list[object]:
    tensors = [part for part in parts if isinstance(part, Tensor)]
    return torch.cat(tensors) if tensors else [value for part in parts for value in part]
