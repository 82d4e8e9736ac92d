"""From phase to phase: on time, or when the monitored metric has stopped improving, with the best weights so far."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from tunesmith.compat.lightning import average_of
from tunesmith.contract.parameters import Phase
from tunesmith.run.resume.checkpoint import POSITION
from tunesmith.task.base import Task
from tunesmith.task.optimization.freeze import frozen_names

log = logging.getLogger(__name__)
PHASES = "phases"


@final
class PhaseChange(Callback):
    """Lets the task enter an epoch before other callbacks see its optimizer, and ends phases that wait for a plateau.

    Such a phase ends with an epoch: the task's table is exchanged for one in which the next begins then, on all
    processes alike. Whether it ended there or ran out of epochs, the next one begins where its best validation found
    the run: weights, buffers, averages, and the optimizer's state unless the next has an optimizer of its own.

    Decisions, and what the next one depends on, are in the checkpoints that a run goes on from, and in no others.

    Attributes:
        transitions: One for every phase that came after one that waits: its number (``phase``), its ``first_epoch``,
            and the epoch and the score of the validation that it began from (``best_epoch``, ``best``).
    """

    def __init__(self) -> None:
        self.transitions: list[dict[str, Any]] = []
        self._best: dict[str, Any] | None = None
        self._waited = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the best of the phase, and count the validations since."""
        task = cast(Task, pl_module)
        index = task.table.phase(trainer.current_epoch)
        plateau = task.table.phases[index].plateau
        if plateau is None or trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        assert task.monitor is not None  # `compatibility.validation` sees to it
        # The first process decides for all of them.
        score = trainer.strategy.broadcast(float(trainer.callback_metrics[task.monitor]))
        sign = 1 if task.mode == "max" else -1
        best = -math.inf if self._best is None else sign * self._best["score"]
        if sign * score > best + plateau.min_delta:
            self._best = {
                "phase": index,
                "epoch": trainer.current_epoch,
                "score": score,
                **_state(trainer, task, index),
            }
            self._waited = 0
        else:
            self._waited += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the phase where it has waited long enough, or has run out of epochs."""
        task = cast(Task, pl_module)
        epoch = trainer.current_epoch + 1
        index = task.table.phase(epoch - 1)
        plateau = task.table.phases[index].plateau
        if plateau is None or epoch == trainer.max_epochs:
            return
        if self._waited >= plateau.patience:
            task.table = task.table.beginning(index + 1, epoch)
            for optimizer in trainer.optimizers:
                task.optimization.retime(optimizer, task.table, trainer.global_step)
        if task.table.phase(epoch) != index:
            best = self._best or {"epoch": None, "score": None}
            transition = {"phase": index + 1, "first_epoch": epoch, "best_epoch": best["epoch"], "best": best["score"]}
            self.transitions.append(transition)
            self._waited = 0
            log.info(sentence(transition, task.monitor))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go back to the best of a phase that is over; and do what the task would do when all callbacks are done."""
        task = cast(Task, pl_module)
        if self._best is not None and self._best["phase"] != task.table.phase(trainer.current_epoch):
            _restore(trainer, task, self._best)
            self._best = None
        pl_module.on_train_epoch_start()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add transitions and the best of the phase to checkpoints to go on from."""
        if POSITION in checkpoint and (self.transitions or self._best or self._waited):
            checkpoint[PHASES] = {"transitions": self.transitions, "best": self._best, "waited": self._waited}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Decide as before, ahead of the loaders and the optimizer."""
        if PHASES in checkpoint:
            task = cast(Task, pl_module)
            state = checkpoint[PHASES]
            self.transitions, self._best, self._waited = state["transitions"], state["best"], state["waited"]
            for transition in self.transitions:
                task.table = task.table.beginning(transition["phase"], transition["first_epoch"])


def sentence(transition: Mapping[str, Any], monitor: str | None) -> str:
    """What a person reads of a transition."""
    begins = f"Phase {transition['phase']} began with epoch {transition['first_epoch']}"
    if transition["best_epoch"] is None:
        return f"{begins}."
    return f"{begins}, from the weights of epoch {transition['best_epoch']} ({monitor} {transition['best']:.4g})."


def _averages(trainer: Any) -> Iterator[AveragedModel]:
    for callback in trainer.callbacks:
        if isinstance(callback, WeightAveraging) and (averaged := average_of(callback)) is not None:
            yield averaged


def _moving(task: Task, phases: Sequence[Phase]) -> list[str]:
    """Names of the weights and buffers that these phases may change."""
    frozen = set(frozen_names(task, [phase.trainable for phase in phases]))
    return [name for name in task.state_dict() if name not in frozen]


@torch.no_grad()
def _state(trainer: Any, task: Task, index: int) -> dict[str, Any]:
    """What a phase changes, as it is now."""
    weights, phases = task.state_dict(), task.table.phases
    # The average goes on moving toward weights that trained before and are frozen now.
    averaged = ["n_averaged", *(f"module.{name}" for name in _moving(task, phases[: index + 1]))]
    return {
        "weights": {name: weights[name].clone() for name in _moving(task, phases[index : index + 1])},
        "averages": [copy.deepcopy(_only(average.state_dict(), averaged)) for average in _averages(trainer)],
        "optimizers": [
            copy.deepcopy(_only(optimizer.state_dict()["state"], _trained(task, optimizer, phases[index])))
            for optimizer in trainer.optimizers
        ],
    }


def _trained(task: Task, optimizer: Optimizer, phase: Phase) -> list[int]:
    """Numbers that the state of the optimizer has for what a phase trains; that of others stays as it is."""
    names = {id(parameter): name for name, parameter in task.named_parameters()}
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return [number for number, parameter in enumerate(parameters) if names[id(parameter)] in phase.trainable]


def _only(state: Mapping[Any, Any], keys: Sequence[Any]) -> dict[Any, Any]:
    return {key: state[key] for key in keys if key in state}


@torch.no_grad()
def _restore(trainer: Any, task: Task, best: dict[str, Any]) -> None:
    """Put back what `_state` took, bit for bit."""
    now = task.state_dict()
    for name, tensor in best["weights"].items():
        now[name].copy_(tensor)
    for average, state in zip(_averages(trainer), best["averages"], strict=True):
        average.load_state_dict({**average.state_dict(), **state})
    table, phase = task.table, task.table.phases[best["phase"]]
    if table.optimizer_phase(phase.first_epoch) == table.optimizer_phase(trainer.current_epoch):
        for optimizer, state in zip(trainer.optimizers, best["optimizers"], strict=True):
            whole, trained = optimizer.state_dict(), set(_trained(task, optimizer, phase))
            kept = {number: of for number, of in whole["state"].items() if number not in trained}
            optimizer.load_state_dict({**whole, "state": kept | state})
