"""The life of a task: a backbone, a policy, a head and a loss, as one LightningModule."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from tunesmith.contract.batch import Activations, Batch, Inputs
from tunesmith.contract.features import Features
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.protocols import Backbone, FittedHead, Head
from tunesmith.contract.spec import DataSpec
from tunesmith.task.calibration import Decision
from tunesmith.task.joint import check_pretraining, text_losses
from tunesmith.task.kind import Kind, check_head, without_padding
from tunesmith.task.loss.loss import check_loss, mean_loss
from tunesmith.task.metric.metric import check_scalar
from tunesmith.task.optimization.delta import Base, complete
from tunesmith.task.optimization.distributed import has_whole_tensors, rewrap
from tunesmith.task.optimization.fitted import HeadFit
from tunesmith.task.optimization.freeze import apply_trainable, freeze_modes, frozen_names
from tunesmith.task.optimization.optimization import MakeOptimizer, MakeScheduler, Optimization
from tunesmith.task.optimization.precision import depthwise_in_float32

Stage = Literal["train", "val", "test"]


class Task(LightningModule, Kind):
    """A backbone and a head, trained as the parameter table says.

    Args:
        backbone: Pictures or texts to features.
        head: Features to outputs ``(B, K)``, or ``(B, T, K)`` of T tokens.
        loss: Outputs ``(B, K)`` and targets, as `encode` gives them, to a scalar.
        metrics: Metrics by name; cloned for each stage. Training keeps only the monitored one, since the others store
            every score of an epoch.
        table: Which parameter trains when, and how fast.
        spec: What the data are.
        optimizer: Builds the optimizer from parameter groups, and what a phase has for itself.
        scheduler: Builds the schedule from the optimizer, its number of steps, the steps an epoch, and what a phase has
            for itself; returns it with its interval.
        monitor: Name of the metric that decides which weights are best; ``None`` without a validation split.
        mode: Whether more or less of it is better.
        channels_last: Keep pictures and weights in NHWC memory order (1.4 times the images per second on a CPU).
        compile: Compile backbone and head with `torch.compile`.
        save: What checkpoints hold: all tensors, or only those that the weights' source does not give anyway.
        pretraining: What the loss of the texts without labels in a batch counts for, 0 for there being none: the joint
            objective, as Radford et al. (2018) fine-tune. It is the mean over the texts of each one's mean over tokens.

    Raises:
        ConfigError: The data, the loss or a metric is not for such a task.

    Attributes:
        spec: What the data are.
        decision: How outputs become labels; the plain way until `decide` was asked and its answer put here.
        base: What the weights' source gives; nothing until it is put here.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        head: Head,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        table: ParameterTable,
        spec: DataSpec,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler,
        monitor: str | None = "val/loss",
        mode: Literal["min", "max"] = "min",
        channels_last: bool = True,
        compile: bool = False,
        save: Literal["changed", "all"] = "changed",
        pretraining: float = 0.0,
    ) -> None:
        super().__init__()
        self.check_target(spec)
        check_loss(loss, spec.target)
        check_head(head, spec)
        check_scalar(metrics)
        check_pretraining(pretraining, head)
        # Any, because nn.Module says that its attributes are Tensor | Module.
        self.backbone: Any = backbone
        self.head: Any = head
        self.loss = loss
        self.spec = spec
        self.decision = Decision()
        self.base = Base()
        self.save = save
        self.table = table
        self.monitor = monitor
        self.mode = mode
        self.pretraining = pretraining
        self.optimization = Optimization(optimizer, scheduler)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._frozen_stages = 0
        self.wants_levels = getattr(head, "levels", "level_dims" in inspect.signature(type(head).__init__).parameters)
        self.head_fit = HeadFit() if isinstance(head, FittedHead) else None
        self._phase = 0
        monitored = (monitor or "").rpartition("/")[2]
        self.train_metrics = MetricCollection(
            {n: m.clone() for n, m in metrics.items() if n == monitored}, prefix="train/"
        )
        # Without compute groups, whose members are all updated with the same.
        collection = MetricCollection(dict(metrics), compute_groups=False)
        self.val_metrics = collection.clone(prefix="val/")
        self.test_metrics = collection.clone(prefix="test/")
        # Lightning's own mean over ranks rounds the number of samples down where shares are unequal (2.6.6).
        self.train_loss, self.val_loss, self.test_loss = MeanMetric(), MeanMetric(), MeanMetric()
        self.train_pretraining_loss = MeanMetric() if pretraining else None
        self.to(memory_format=self.memory_format)
        if compile:
            self.get_submodule("backbone").compile()
            self.get_submodule("head").compile()

    def forward(self, x: Inputs | Activations) -> Tensor:
        """Map pictures or texts to outputs ``(B, K)``; frozen leading stages run without gradients."""
        outputs: Tensor = self.head(self.features(x))
        return outputs

    def features(self, x: Inputs | Activations) -> Features:
        """Map pictures or texts, or what is kept of them, to what the head takes."""
        features: Features = self.backbone(self.laid_out(x), frozen=self._frozen_stages, levels=self.wants_levels)
        return features

    def laid_out(self, x: Inputs) -> Inputs:
        """Bring pictures and maps ``(B, C, H, W)`` into the memory order that the backbone runs in."""
        if isinstance(x, Mapping):
            return {name: t.contiguous(memory_format=self.memory_format) if t.ndim == 4 else t for name, t in x.items()}
        return x.contiguous(memory_format=self.memory_format) if x.ndim == 4 else x

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
        if self.trainer.strategy.root_device.type == "cpu" and self.trainer.precision == "bf16-mixed":
            depthwise_in_float32(self.backbone)
        if stage == "fit":
            for metric in self.modules():
                if isinstance(metric, Metric):
                    metric.reset()  # `validate` leaves states of inference mode, which training could not add to
            self.train()
            self.apply_policy(self.current_epoch)

    def on_train_start(self) -> None:
        """Apply the policy of the epoch that a resumed run is in the middle of: no epoch starts then."""
        self.enter(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        """Open the gates of the phase that begins."""
        if self.table.phase(self.current_epoch) != self._phase:
            self.enter(self.current_epoch)

    def enter(self, epoch: int) -> None:
        """Let train what the table says for ``epoch``, with the optimizer and the schedule of its phase."""
        before = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        self.apply_policy(epoch)
        if self.table.trainable(epoch) != before:
            rewrap(self.trainer.strategy, self)
        if self.optimization.enter(self.table, epoch):
            self.trainer.strategy.setup_optimizers(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say whose optimizer state the checkpoint holds, and leave out what the weights' source gives anyway."""
        checkpoint["optimizer_phase"] = self.optimization.phase
        self.leave_out(checkpoint)

    def leave_out(self, checkpoint: dict[str, Any]) -> None:
        """Take out of a checkpoint of this task what the weights' source gives anyway, unless all is to be saved."""
        if self.save == "changed" and has_whole_tensors(self.trainer.strategy):
            self.base.leave_out(checkpoint, frozen_names(self, [phase.trainable for phase in self.table.phases]))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Learn whose optimizer state it is, before the optimizer is built, and bring back what was left out."""
        self.optimization.phase = checkpoint["optimizer_phase"]
        if has_whole_tensors(self.trainer.strategy):
            complete(checkpoint, self, "the checkpoint")

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the schedule of the present phase."""
        if self.head_fit is not None:
            return None
        optimizer, schedule = self.optimization.build(self, self.table, self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": schedule | ({"monitor": self.monitor} if self.monitor else {})}

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Take a step, with the rates of groups that ramp or warm up held below the schedule's."""
        with self.optimization.gated(optimizer, self.trainer.global_step):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    # ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _outputs(self, pictures: Inputs | Activations) -> Tensor:
        """Outputs ``(B, K)``, or ``(B, V, K)`` of V views ``(B, V, C, H, W)``."""
        outputs: Tensor
        if isinstance(pictures, Mapping) or pictures.ndim != 5:
            outputs = self(pictures)
            return outputs
        outputs = self(pictures.flatten(0, 1))
        return outputs.view(*pictures.shape[:2], -1)

    def step(self, batch: Batch, stage: Stage, outputs: Tensor | None = None) -> dict[str, Any]:
        """Update a split's metrics; gives ``loss``, a scalar, ``index`` ``(B,)``, and what `score` keeps of samples."""
        outputs = self._outputs(batch["input"]) if outputs is None else outputs
        if stage != "train" and self.trainer.world_size > 1:
            outputs, batch = without_padding(outputs, batch)
        found, target, weight = self.counted(outputs, batch)
        loss_mean: MeanMetric = getattr(self, f"{stage}_loss")
        loss = 0 * outputs.sum()  # of nothing that counts, which only keeps this rank in step
        if len(target):
            mean_weight = self.spec.mean_weight if stage == "train" else None
            loss = mean_loss(self.loss, found, self.encode(target), weight, mean_weight)
            loss_mean.update(loss.detach(), len(target) if weight is None or stage == "train" else weight.sum())
        kept = self.score(getattr(self, f"{stage}_metrics"), outputs.detach(), batch)
        return {"loss": loss, "index": batch["index"], **kept}

    def _log_epoch(self, stage: Stage) -> None:
        """Log what the epoch's steps came to: once, since handing a metric to Lightning costs as much as a step."""
        self.log_dict(getattr(self, f"{stage}_metrics"))
        self.log(f"{stage}/loss", getattr(self, f"{stage}_loss"))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step; gives the loss, a scalar, or nothing where the head is to be fitted."""
        if self.head_fit is not None:
            return self.head_fit.collect(self, batch)
        loss = self.training_loss(batch)
        self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False, prog_bar=True)
        return self.with_texts(loss, batch)

    def training_loss(self, batch: Batch) -> Tensor:
        """The loss of a training batch, a scalar."""
        loss: Tensor = self.step(batch, "train")["loss"]
        return loss

    def with_texts(self, loss: Tensor, batch: Batch) -> Tensor:
        """Add to the loss of a training batch what that of its texts without labels counts for."""
        if self.train_pretraining_loss is None:
            return loss
        texts = text_losses(self, batch["unlabelled"])
        self.train_pretraining_loss.update(texts.detach())
        return loss + self.pretraining * texts.mean()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Fit a head that is to be fitted, before validation."""
        if self.head_fit is not None and (self.trainer.is_last_batch or self.trainer.should_stop):
            self.head_fit.solve(self)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's metrics."""
        self._log_epoch("train")
        if self.train_pretraining_loss is not None:
            self.log("train/pretraining_loss", self.train_pretraining_loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of validation."""
        self.step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the split."""
        self._log_epoch("val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """One step of testing; gives index ``(B,)`` and what `Kind.score` keeps, for the record."""
        return self.step(batch, "test")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the split."""
        self._log_epoch("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Predictions ``(B, K)`` and index ``(B,)`` of a batch without targets."""
        return {"predictions": self.predictions(self._outputs(batch["input"])), "index": batch["index"]}
