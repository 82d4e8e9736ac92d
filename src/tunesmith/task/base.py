"""Train a backbone and a head as one LightningModule: the base class of all tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric, MetricCollection

from tunesmith.contract.batch import TARGET, Activations, Batch, Inputs, Outputs
from tunesmith.contract.features import Features, Needs
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.protocols import Backbone, FittedHead, Head
from tunesmith.contract.spec import DataSpec
from tunesmith.contract.tree import fold, leaves, map_tree
from tunesmith.errors import raise_together
from tunesmith.target.base import of
from tunesmith.task.calibration import Calibration
from tunesmith.task.kind import Kind, Stage, as_tensor, head_mistakes, without_padding
from tunesmith.task.loss.joint import LM, lm_loss_weight_mistakes, stream_counts, stream_terms
from tunesmith.task.loss.loss import loss_mistakes, mean_loss
from tunesmith.task.loss.term import Term, objective, share_of_step
from tunesmith.task.metric.metric import by_stage, scalar_mistakes
from tunesmith.task.optimization.delta import Base, Checkpoint, complete
from tunesmith.task.optimization.distributed import has_whole_tensors, rewrap
from tunesmith.task.optimization.fitted import HeadFit
from tunesmith.task.optimization.freeze import apply_trainable, freeze_modes, frozen_names
from tunesmith.task.optimization.optimization import MakeOptimizer, MakeScheduler, Optimization
from tunesmith.task.optimization.precision import depthwise_in_float32

Kept = dict[str, object]
T = TypeVar("T")


class Task(LightningModule, Kind):
    """A backbone and a head, trained as the parameter table says.

    Args:
        backbone: Maps images or texts to features.
        head: Maps features to outputs ``(B, K)``, or ``(B, T, K)`` for T tokens.
        loss: Maps outputs ``(B, K)`` and targets, as `encode` returns them, to a scalar.
        metrics: Metrics by name; cloned for each stage. Training keeps only the monitored one, since the others store
            every score of an epoch.
        table: Which parameter trains when, and how fast.
        spec: Description of the data.
        optimizer: Builds the optimizer from parameter groups and a phase's own options.
        scheduler: Builds the schedule from the optimizer, its number of steps, the steps per epoch, and a phase's own
            options; returns it with its interval.
        monitor: Name of the metric that decides which weights are best; ``None`` without a validation split.
        mode: Whether more or less of it is better.
        channels_last: Keep images and weights in NHWC memory order (1.4 times the images per second on a CPU).
        compile: Compile backbone and head with `torch.compile`.
        save: Which tensors checkpoints contain: all, or only those that the weights' source does not provide.
        lm_loss_weight: Weight of the language-modelling loss on a batch's unlabelled texts, 0 for no such texts: the
            joint objective of Radford et al. (2018). The loss is the mean over texts of each text's mean over tokens.

    Raises:
        ConfigError: The data, the loss, the head or a metric does not fit the task.

    Attributes:
        base: The tensors that the weights' source provides; empty until it is set.
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
        lm_loss_weight: float = 0.0,
    ) -> None:
        super().__init__()
        mistakes = [*self.target_mistakes(spec), *loss_mistakes(loss, spec.target), *head_mistakes(head, spec)]
        raise_together([*mistakes, *scalar_mistakes(metrics), *lm_loss_weight_mistakes(lm_loss_weight, head)])
        self.backbone = backbone
        self.head = head
        self.loss, self.spec = loss, spec
        self.calibration = Calibration()
        self.base = Base()
        self.save = save
        self.table = table
        self.monitor, self.mode = monitor, mode
        self.lm_loss_weight = lm_loss_weight
        self.optimization = Optimization(optimizer, scheduler)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._frozen_stages = self._phase = 0
        self.needs = head.needs
        if self.needs.maps:
            backbone.map_info()  # takes a forward pass, which must not happen in the middle of a step
        self.head_fit = HeadFit(head) if isinstance(head, FittedHead) else None
        self.train_metrics, self.val_metrics, self.test_metrics = by_stage(metrics, monitor)
        # Lightning's own mean over ranks rounds the number of samples down where shares are unequal (2.6.6).
        self.train_loss, self.val_loss, self.test_loss = MeanMetric(), MeanMetric(), MeanMetric()
        self.train_lm_loss = MeanMetric() if lm_loss_weight else None
        self.to(memory_format=self.memory_format)
        if compile:
            self.get_submodule("backbone").compile()
            self.get_submodule("head").compile()

    def forward(self, x: Inputs | Activations) -> Outputs:
        """Map inputs to outputs ``(B, K)``; frozen leading stages run without gradients."""
        return self.head(self.features(x))

    def features(self, x: Inputs | Activations, needs: Needs | None = None) -> Features:
        """Map inputs, or cached activations, to features: by default those that the head needs."""
        return self.backbone(self.laid_out(x), frozen=self._frozen_stages, needs=needs or self.needs)

    def laid_out(self, x: T) -> T:
        """Convert images and maps ``(B, C, H, W)`` to the memory order that the backbone runs in."""
        return map_tree(lambda t: t.contiguous(memory_format=self.memory_format) if t.ndim == 4 else t, x)

    # ── what trains ─────────────────────────────────────────────────────────────────────────────────────────────────

    def apply_policy(self, epoch: int) -> None:
        """Train exactly what the table says for ``epoch``, and put the rest into eval mode."""
        apply_trainable(self, self.table.trainable(epoch))
        self._phase = self.table.phase(epoch)
        self._frozen_stages = self.table.boundary(epoch)
        self.train(self.training)

    def train(self, mode: bool = True) -> Task:
        """Set training mode; frozen parts stay in eval mode, with their BatchNorm and dropout."""
        super().train(mode)
        if mode:
            for stage in self.backbone.stages:
                freeze_modes([m for m in self.backbone.members(stage).values() if isinstance(m, nn.Module)])
            freeze_modes([self.get_submodule("head")])
        return self

    def setup(self, stage: str) -> None:
        """Apply the policy before a strategy wraps the module: DDP reads what trains when it wraps."""
        if self.trainer.strategy.root_device.type == "cpu" and self.trainer.precision == "bf16-mixed":
            depthwise_in_float32(self.get_submodule("backbone"))
        if stage == "fit":
            for metric in self.modules():
                if isinstance(metric, Metric):
                    metric.reset()  # `validate` leaves inference tensors, which training could not update
            self.train()
            self.apply_policy(self.current_epoch)

    def on_train_start(self) -> None:
        """Enter the phase of the current epoch, which a run resumed in its middle does not start."""
        self.enter(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        """Enter the phase that begins with this epoch, if any."""
        if self.table.phase(self.current_epoch) != self._phase:
            self.enter(self.current_epoch)

    def enter(self, epoch: int) -> None:
        """Train what the table says for ``epoch``, with the optimizer and the schedule of its phase."""
        before = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        self.apply_policy(epoch)
        if self.table.trainable(epoch) != before:
            rewrap(self.trainer.strategy, self)
        if self.optimization.enter(self.table, epoch):
            self.trainer.strategy.setup_optimizers(self.trainer)

    def on_save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store the phase of the optimizer state, and leave out what the weights' source provides."""
        checkpoint["optimizer_phase"] = self.optimization.phase
        self.leave_out(checkpoint)

    def leave_out(self, checkpoint: Checkpoint) -> None:
        """Remove from a checkpoint what the weights' source provides, unless ``save`` is ``all``."""
        if self.save == "changed" and has_whole_tensors(self.trainer.strategy):
            self.base.leave_out(checkpoint, frozen_names(self, [phase.trainable for phase in self.table.phases]))

    def on_load_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Read the phase of the optimizer state before the optimizer is built, and restore what was left out."""
        self.optimization.phase = checkpoint["optimizer_phase"]
        if has_whole_tensors(self.trainer.strategy):
            complete(checkpoint, self, "the checkpoint")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig | None:
        """Build the optimizer and the schedule of the current phase; a fitted head has none."""
        if self.head_fit is not None:
            return None
        optimizer, schedule = self.optimization.build(self, self.table, self.trainer, self.monitor)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], object] | None = None,
    ) -> None:
        """Take a step, with the rates of groups that ramp or warm up held below the schedule's."""
        with self.optimization.gated(optimizer, self.trainer.global_step):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    # ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def outputs(self, batch: Batch) -> Outputs:
        """Compute the outputs of a batch, one row per sample: ``(B, K)``, or ``(B, V, K)`` with V views of each."""
        found: Outputs = self(batch["input"])
        return fold(found, batch.get("views", 1))

    def terms(self, outputs: Outputs, batch: Batch, mean_weight: float | None = None) -> dict[str, Term]:
        """Compute the named terms of the loss of a batch, by default only `TARGET`; see `mean_loss`."""
        found, target, weight = self.counted(outputs, batch)
        if not len(target):
            nothing = sum(0 * tensor.sum() for tensor in leaves(outputs))  # keeps this rank in step
            return {TARGET: Term(torch.as_tensor(nothing), 0)}
        mean = mean_loss(self.loss, found, self.encode(target), weight, mean_weight, batch.get("views", 1))
        return {TARGET: Term(mean, len(target) if weight is None or mean_weight is not None else float(weight.sum()))}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Return the count over which each term of the loss of a training batch is averaged."""
        return {TARGET: self.count(batch), **stream_counts(batch)}

    @property
    def term_weights(self) -> dict[str, float]:
        """Weights of the terms of the loss, except those of weight 1."""
        return {LM: self.lm_loss_weight}

    def step(self, batch: Batch, stage: Stage, outputs: Outputs | None = None) -> tuple[dict[str, Term], Kept]:
        """Return the terms of the loss of a batch, and what `Kind.score` keeps."""
        outputs = self.outputs(batch) if outputs is None else outputs
        if stage != "train" and self.trainer.world_size > 1:
            outputs, batch = without_padding(outputs, batch)
        terms = self.terms(outputs, batch, self.spec.mean_weight if stage == "train" else None)
        metrics, loss_mean = self._metrics(stage)
        loss_mean.update(objective(terms, self.term_weights).detach(), next(iter(terms.values())).count)
        detached = map_tree(Tensor.detach, outputs)
        return terms, self.score(metrics, detached, batch) | {"index": batch["index"]}

    def _metrics(self, stage: Stage) -> tuple[MetricCollection, MeanMetric]:
        collections = {"train": self.train_metrics, "val": self.val_metrics, "test": self.test_metrics}
        losses = {"train": self.train_loss, "val": self.val_loss, "test": self.test_loss}
        return collections[stage], losses[stage]

    def _log_epoch(self, stage: Stage) -> None:
        """Log the epoch's metrics once: passing a metric to Lightning costs as much as a step."""
        metrics, loss_mean = self._metrics(stage)
        self.log_dict(metrics)
        self.log(f"{stage}/loss", loss_mean)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Take one step; return the loss, a scalar, or ``None`` if the head is fitted instead."""
        if self.head_fit is not None:
            self.head_fit.collect(self, batch)
            return None
        terms, weights = self.training_terms(batch), self.term_weights
        self.log("train/loss_step", objective(terms, weights).detach(), on_step=True, on_epoch=False, prog_bar=True)
        totals, batches = batch.get("totals"), self.trainer.accumulate_grad_batches
        return share_of_step(terms | stream_terms(self, batch), weights, totals, batches, of(self.spec.target).dense)

    def training_terms(self, batch: Batch) -> dict[str, Term]:
        """Compute the terms of the loss of a training batch's own samples."""
        return self.step(batch, "train")[0]

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int) -> None:
        """Fit the head at the end of the epoch, before validation, if it is fitted rather than trained."""
        if self.head_fit is not None and (self.trainer.is_last_batch or self.trainer.should_stop):
            self.head_fit.solve(self)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's metrics."""
        self._log_epoch("train")
        if self.train_lm_loss is not None:
            self.log("train/lm_loss", self.train_lm_loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take one step of validation."""
        self.step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the split."""
        self._log_epoch("val")

    def test_step(self, batch: Batch, batch_idx: int) -> Kept:
        """Take one step of testing; return index ``(B,)`` and what `Kind.score` keeps."""
        return self.step(batch, "test")[1]

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the split."""
        self._log_epoch("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Kept:
        """Return predictions ``(B, K)`` and index ``(B,)`` of a batch without targets."""
        return {"predictions": self.predictions(as_tensor(self.outputs(batch))), "index": batch["index"]}
