"""The life of a task: a backbone, a policy, a head and a loss, as one LightningModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from tunesmith.contract.batch import TARGET, Activations, Batch, Inputs
from tunesmith.contract.features import Features, Needs
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.protocols import Backbone, FittedHead, Head
from tunesmith.contract.spec import DataSpec
from tunesmith.contract.tree import fold, leaves, map_tree
from tunesmith.errors import raise_together
from tunesmith.target.base import of
from tunesmith.task.calibration import Calibration
from tunesmith.task.kind import Kind, head_mistakes, without_padding
from tunesmith.task.loss.joint import LM, lm_loss_weight_mistakes, stream_counts, stream_terms
from tunesmith.task.loss.loss import loss_mistakes, mean_loss
from tunesmith.task.loss.term import Term, objective, share_of_step
from tunesmith.task.metric.metric import scalar_mistakes
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
        backbone: Images or texts to features.
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
        channels_last: Keep images and weights in NHWC memory order (1.4 times the images per second on a CPU).
        compile: Compile backbone and head with `torch.compile`.
        save: What checkpoints hold: all tensors, or only those that the weights' source does not give anyway.
        lm_loss_weight: Weight of the loss of the texts without labels in a batch, 0 for there being none: the joint
            objective, as Radford et al. (2018) fine-tune. It is the mean over the texts of each one's mean over tokens.

    Raises:
        ConfigError: The data, the loss or a metric is not for such a task.

    Attributes:
        spec: What the data are.
        calibration: How outputs become labels; the plain way until `calibrate` was asked and its answer put here.
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
        lm_loss_weight: float = 0.0,
    ) -> None:
        super().__init__()
        mistakes = [*self.target_mistakes(spec), *loss_mistakes(loss, spec.target), *head_mistakes(head, spec)]
        raise_together([*mistakes, *scalar_mistakes(metrics), *lm_loss_weight_mistakes(lm_loss_weight, head)])
        # Any, because nn.Module says that its attributes are Tensor | Module.
        self.backbone: Any = backbone
        self.head: Any = head
        self.loss = loss
        self.spec = spec
        self.calibration = Calibration()
        self.base = Base()
        self.save = save
        self.table = table
        self.monitor = monitor
        self.mode = mode
        self.lm_loss_weight = lm_loss_weight
        self.optimization = Optimization(optimizer, scheduler)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._frozen_stages = 0
        self.needs = head.needs
        if self.needs.maps:
            backbone.map_info()  # found by a forward pass, which is not to come in the middle of a step
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
        self.train_lm_loss = MeanMetric() if lm_loss_weight else None
        self.to(memory_format=self.memory_format)
        if compile:
            self.get_submodule("backbone").compile()
            self.get_submodule("head").compile()

    def forward(self, x: Inputs | Activations) -> Any:
        """Map images or texts to outputs ``(B, K)``; frozen leading stages run without gradients."""
        return self.head(self.features(x))

    def features(self, x: Inputs | Activations, needs: Needs | None = None) -> Features:
        """Map images or texts, or what is kept of them, to what the head takes, or to what is needed otherwise."""
        features: Features = self.backbone(self.laid_out(x), frozen=self._frozen_stages, needs=needs or self.needs)
        return features

    def laid_out(self, x: Any) -> Any:
        """Bring images and maps ``(B, C, H, W)`` into the memory order that the backbone runs in."""
        return map_tree(lambda t: t.contiguous(memory_format=self.memory_format) if t.ndim == 4 else t, x)

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

    def outputs(self, batch: Batch) -> Any:
        """Outputs of a batch, a row per sample: ``(B, K)``, or ``(B, V, K)`` where there are V views of each."""
        return fold(self(batch["input"]), batch.get("views", 1))

    def terms(self, outputs: Any, batch: Batch, mean_weight: float | None = None) -> dict[str, Term]:
        """The loss of a batch, by named terms; a task with several has more than `TARGET`. See `mean_loss`."""
        found, target, weight = self.counted(outputs, batch)
        if not len(target):
            nothing = sum(0 * tensor.sum() for tensor in leaves(outputs))  # which only keeps this rank in step
            return {TARGET: Term(torch.as_tensor(nothing), 0)}
        mean = mean_loss(self.loss, found, self.encode(target), weight, mean_weight, batch.get("views", 1))
        return {TARGET: Term(mean, len(target) if weight is None or mean_weight is not None else float(weight.sum()))}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Count what each term of the loss of a training batch is the mean over, without its outputs."""
        return {TARGET: self.count(batch), **stream_counts(batch)}

    @property
    def term_weights(self) -> dict[str, float]:
        """What the terms of the loss count for, those that count for 1 left out."""
        return {LM: self.lm_loss_weight}

    def step(self, batch: Batch, stage: Stage, outputs: Any = None) -> tuple[dict[str, Term], dict[str, Any]]:
        """The terms of the loss of a batch, and what `Kind.score` keeps."""
        outputs = self.outputs(batch) if outputs is None else outputs
        if stage != "train" and self.trainer.world_size > 1:
            outputs, batch = without_padding(outputs, batch)
        terms = self.terms(outputs, batch, self.spec.mean_weight if stage == "train" else None)
        loss_mean: MeanMetric = getattr(self, f"{stage}_loss")
        loss_mean.update(objective(terms, self.term_weights).detach(), next(iter(terms.values())).count)
        detached = map_tree(Tensor.detach, outputs)
        return terms, self.score(getattr(self, f"{stage}_metrics"), detached, batch) | {"index": batch["index"]}

    def _log_epoch(self, stage: Stage) -> None:
        """Log what the epoch's steps came to: once, since handing a metric to Lightning costs as much as a step."""
        self.log_dict(getattr(self, f"{stage}_metrics"))
        self.log(f"{stage}/loss", getattr(self, f"{stage}_loss"))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step; gives the loss, a scalar, or nothing where the head is to be fitted."""
        if self.head_fit is not None:
            return self.head_fit.collect(self, batch)
        terms = self.training_terms(batch)
        own = objective(terms, self.term_weights)
        self.log("train/loss_step", own.detach(), on_step=True, on_epoch=False, prog_bar=True)
        totals, batches = batch.get("totals"), self.trainer.accumulate_grad_batches
        return share_of_step(
            terms | stream_terms(self, batch), self.term_weights, totals, batches, of(self.spec.target).dense
        )

    def training_terms(self, batch: Batch) -> dict[str, Term]:
        """The terms of the loss of a training batch's own samples."""
        return self.step(batch, "train")[0]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Fit a head that is to be fitted, before validation."""
        if self.head_fit is not None and (self.trainer.is_last_batch or self.trainer.should_stop):
            self.head_fit.solve(self)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's metrics."""
        self._log_epoch("train")
        if self.train_lm_loss is not None:
            self.log("train/lm_loss", self.train_lm_loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of validation."""
        self.step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the split."""
        self._log_epoch("val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """One step of testing; gives index ``(B,)`` and what `Kind.score` keeps, for the record."""
        return self.step(batch, "test")[1]

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the split."""
        self._log_epoch("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Predictions ``(B, K)`` and index ``(B,)`` of a batch without targets."""
        return {"predictions": self.predictions(self.outputs(batch)), "index": batch["index"]}
