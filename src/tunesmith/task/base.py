"""The life of a task: a backbone, a policy, a head and a loss, as one LightningModule."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric, MetricCollection

from tunesmith.contracts import Activations, Backbone, Batch, DataSpec, Head
from tunesmith.errors import ConfigError
from tunesmith.parameters import ParameterTable
from tunesmith.task.freeze import apply_trainable, freeze_modes
from tunesmith.task.precision import depthwise_in_float32

Stage = Literal["train", "val", "test"]


class Task(LightningModule, ABC):
    """A backbone and a head, trained as the parameter table says.

    Args:
        backbone: Pictures ``(B, C, H, W)`` to features.
        head: Features to outputs ``(B, K)``.
        loss: Outputs ``(B, K)`` and targets ``(B,)`` to a scalar.
        metrics: Metrics by name; cloned for each stage. Training keeps only the monitored one, since the others store
            every score of an epoch.
        table: Which parameter trains when, and how fast.
        spec: What the data are.
        optimizer: Builds the optimizer from parameter groups.
        scheduler: Builds the schedule from the optimizer, the total number of optimizer steps and the steps an epoch;
            returns it with its interval.
        monitor: Name of the metric that decides which weights are best; ``None`` without a validation split.
        mode: Whether more or less of it is better.
        channels_last: Keep pictures and weights in NHWC memory order (1.4 times the images per second on a CPU).
        compile: Compile backbone and head with `torch.compile`.
    """

    targets: ClassVar[tuple[str, ...]] = ("class",)
    """Kinds of target, as `DataSpec` has them, that the task is for."""

    def __init__(
        self,
        *,
        backbone: Backbone,
        head: Head,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        table: ParameterTable,
        spec: DataSpec,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer, int, int], tuple[Any, Literal["step", "epoch"]]],
        monitor: str | None = "val/loss",
        mode: Literal["min", "max"] = "min",
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if spec.target not in self.targets:
            raise ConfigError(
                f"Expected data whose target is {' or '.join(self.targets)} for {type(self).__name__} "
                f"but got '{spec.target}'; choose another task."
            )
        # Any, because nn.Module says that its attributes are Tensor | Module.
        self.backbone: Any = backbone
        self.head: Any = head
        self.loss = loss
        self.table = table
        self.monitor = monitor
        self.mode = mode
        self._make_optimizer = optimizer
        self._make_scheduler = scheduler
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._frozen_stages = 0
        self._levels = "level_dims" in inspect.signature(type(head).__init__).parameters
        self._phase = 0
        self._depthwise_settled = False
        monitored = (monitor or "").rpartition("/")[2]
        collection = MetricCollection(dict(metrics))
        self.train_metrics = MetricCollection({n: m.clone() for n, m in metrics.items() if n == monitored})
        self.train_metrics.prefix = "train/"
        self.val_metrics = collection.clone(prefix="val/")
        self.test_metrics = collection.clone(prefix="test/")
        # Lightning's own mean over ranks rounds the number of samples down where shares are unequal (2.6.6).
        self.train_loss, self.val_loss, self.test_loss = MeanMetric(), MeanMetric(), MeanMetric()
        self.to(memory_format=self._memory_format)
        if compile:
            self.get_submodule("backbone").compile()
            self.get_submodule("head").compile()

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """Outputs K that the head needs for such data."""
        return len(spec.class_names)

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Turn outputs ``(B, K)`` into what metrics and prediction files take: probabilities ``(B, K)``."""

    def forward(self, x: Tensor | Activations) -> Tensor:
        """Map pictures ``(B, C, H, W)`` to outputs ``(B, K)``; frozen leading stages run without gradients."""
        x = {name: self.laid_out(kept) for name, kept in x.items()} if isinstance(x, Mapping) else self.laid_out(x)
        outputs: Tensor = self.head(self.backbone(x, frozen=self._frozen_stages, levels=self._levels))
        return outputs

    def laid_out(self, x: Tensor) -> Tensor:
        """Bring pictures or a map ``(B, C, H, W)`` into the memory order that the backbone runs in."""
        return x.contiguous(memory_format=self._memory_format) if x.ndim == 4 else x

    # ── what trains ─────────────────────────────────────────────────────────────────────────────────────────────────

    def apply_policy(self, epoch: int) -> None:
        """Let train exactly what the table says for ``epoch``, and put the rest in eval mode."""
        apply_trainable(self, self.table.trainable(epoch))
        self._phase = self.table.phase(epoch)
        self._frozen_stages = self.table.boundary(epoch)
        self.train(self.training)

    def train(self, mode: bool = True) -> Task:
        """Set training mode; frozen parts stay in eval: BatchNorm and dropout in them work as in inference."""
        super().train(mode)
        if mode:
            for stage in self.backbone.stages:
                freeze_modes([m for m in self.backbone.members(stage).values() if isinstance(m, nn.Module)])
            freeze_modes([self.head])
        return self

    def setup(self, stage: str) -> None:
        """Apply the policy before a strategy wraps the module: DDP looks at what trains when it wraps."""
        on_cpu = self.trainer.strategy.root_device.type == "cpu"
        if on_cpu and self.trainer.precision == "bf16-mixed" and not self._depthwise_settled:
            depthwise_in_float32(self.backbone)
            self._depthwise_settled = True
        if stage == "fit":
            self.train()
            self.apply_policy(self.current_epoch)

    def on_train_start(self) -> None:
        """Apply the policy of the epoch that a resumed run is in the middle of: no epoch starts then."""
        self.apply_policy(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        """Open the gates of the phase that begins."""
        if self.table.phase(self.current_epoch) != self._phase:
            self.apply_policy(self.current_epoch)

    def configure_optimizers(self) -> Any:
        """Build all groups, named, from step 0: thawing opens a gate and never adds a group."""
        parameters = dict(self.named_parameters())
        groups = [
            {
                "params": [parameters[n] for n in names],
                "name": name,
                "multiplier": multiplier,
                "weight_decay": weight_decay,
            }
            for (name, multiplier, weight_decay), names in self.table.groups().items()
        ]
        optimizer = self._make_optimizer(groups)
        for group in optimizer.param_groups:
            group["lr"] *= group["multiplier"]
        total = int(self.trainer.estimated_stepping_batches)
        scheduler, interval = self._make_scheduler(optimizer, total, max(1, total // (self.trainer.max_epochs or 1)))
        config = {"scheduler": scheduler, "interval": interval, "monitor": self.monitor}
        return {"optimizer": optimizer, "lr_scheduler": {k: v for k, v in config.items() if v is not None}}

    # ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _step(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        target, index = batch["target"], batch["index"]
        outputs = self(batch["input"])
        if stage != "train" and self.trainer.world_size > 1:
            kept = index >= 0
            outputs, target, index = outputs[kept], target[kept], index[kept]
        predictions = self.predict(outputs.detach())
        metrics: MetricCollection = getattr(self, f"{stage}_metrics")
        loss_mean: MeanMetric = getattr(self, f"{stage}_loss")
        loss = outputs.sum()  # of nothing but padding, which only keeps this rank in step
        if len(target):
            loss = self.loss(outputs, target)
            loss_mean.update(loss.detach(), len(target))
            metrics.update(predictions, target)
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(target))
        self.log(f"{stage}/loss", loss_mean, on_step=False, on_epoch=True)
        return {"loss": loss, "predictions": predictions, "target": target, "index": index}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; gives the loss, a scalar."""
        loss = self._step(batch, "train")["loss"]
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of validation."""
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of testing; gives predictions ``(B, K)``, target ``(B,)`` and index ``(B,)`` for the record."""
        return self._step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Predictions ``(B, K)`` and index ``(B,)`` of a batch without targets."""
        return {"predictions": self.predict(self(batch["input"])), "index": batch["index"]}
