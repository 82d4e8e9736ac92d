"""Change phases on schedule, or at a plateau of the monitored metric, starting from the best weights so far."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, TypeVar, cast, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from tunesmith.compat.lightning import average_of, connected
from tunesmith.contract.checkpoint import Checkpoint
from tunesmith.contract.parameters import Phase
from tunesmith.run.record.schema import Transition
from tunesmith.run.resume.checkpoint import POSITION
from tunesmith.task.base import Task
from tunesmith.task.optimization.freeze import frozen_names

log = logging.getLogger(__name__)
PHASES = "phases"
K = TypeVar("K")
V = TypeVar("V")


class Best(TypedDict):
    """The best validation of a phase, and the state that the phase changes, as it was then."""

    phase: int
    epoch: int
    score: float
    weights: dict[str, Tensor]
    averages: list[dict[str, Tensor]]
    optimizers: list[dict[int, object]]


@final
class PhaseChange(Callback):
    """Lets the task enter an epoch before other callbacks see its optimizer, and ends phases at a plateau.

    A phase that waits for a plateau ends with an epoch: all processes replace the task's table by one in which the next
    phase starts then. Also if it ran out of epochs, the next phase starts from the state at its best validation:
    weights, buffers, averages, and the optimizer's state unless the next phase has its own optimizer.

    Transitions, and the state that the next one depends on, are only in checkpoints that a run resumes from.

    Attributes:
        transitions: One per phase that followed one that waits for a plateau.
    """

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self._best: Best | None = None
        self._waited = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the best state of the phase, and count the validations since."""
        task = cast(Task, pl_module)
        index = task.table.phase(trainer.current_epoch)
        plateau = task.table.phases[index].plateau
        if plateau is None or trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        assert task.monitor is not None  # checked by `compatibility.validation`
        # The first process decides for all.
        score = trainer.strategy.broadcast(float(trainer.callback_metrics[task.monitor]))
        sign = 1 if task.mode == "max" else -1
        best = -math.inf if self._best is None else sign * self._best["score"]
        if sign * score > best + plateau.min_delta:
            self._best = _state(trainer, task, index, score)
            self._waited = 0
        else:
            self._waited += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the phase if it has waited long enough or has run out of epochs."""
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
            best_epoch, best = (self._best["epoch"], self._best["score"]) if self._best else (None, None)
            transition = Transition(phase=index + 1, first_epoch=epoch, best_epoch=best_epoch, best=best)
            self.transitions.append(transition)
            self._waited = 0
            log.info(sentence(transition, task.monitor))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the best state of a finished phase; then run the task's hook ahead of the other callbacks."""
        task = cast(Task, pl_module)
        if self._best is not None and self._best["phase"] != task.table.phase(trainer.current_epoch):
            _restore(trainer, task, self._best)
            self._best = None
        pl_module.on_train_epoch_start()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Checkpoint) -> None:
        """Add transitions and the phase's best state to checkpoints that a run resumes from."""
        if POSITION in checkpoint and (self.transitions or self._best or self._waited):
            checkpoint[PHASES] = {"transitions": self.transitions, "best": self._best, "waited": self._waited}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Checkpoint) -> None:
        """Apply the transitions before loaders and optimizer are created."""
        if PHASES in checkpoint:
            task = cast(Task, pl_module)
            state = checkpoint[PHASES]
            self.transitions, self._best, self._waited = state["transitions"], state["best"], state["waited"]
            for transition in self.transitions:
                task.table = task.table.beginning(transition["phase"], transition["first_epoch"])


def sentence(transition: Transition, monitor: str | None) -> str:
    """Describe a transition in one sentence."""
    begins = f"Phase {transition['phase']} began with epoch {transition['first_epoch']}"
    if transition["best_epoch"] is None:
        return f"{begins}."
    return f"{begins}, from the weights of epoch {transition['best_epoch']} ({monitor} {transition['best']:.4g})."


def _averages(trainer: Trainer) -> Iterator[AveragedModel]:
    for callback in connected(trainer).callbacks:
        if isinstance(callback, WeightAveraging) and (averaged := average_of(callback)) is not None:
            yield averaged


def _moving(task: Task, phases: Sequence[Phase]) -> list[str]:
    """Return the names of the parameters and buffers that these phases may change."""
    frozen = set(frozen_names(task, [phase.trainable for phase in phases]))
    return [name for name in task.state_dict() if name not in frozen]


@torch.no_grad()
def _state(trainer: Trainer, task: Task, index: int, score: float) -> Best:
    """Copy the state that a phase changes."""
    weights, phases = task.state_dict(), task.table.phases
    # The average still moves toward weights that trained earlier and are frozen now.
    averaged = ["n_averaged", *(f"module.{name}" for name in _moving(task, phases[: index + 1]))]
    return {
        "phase": index,
        "epoch": trainer.current_epoch,
        "score": score,
        "weights": {name: weights[name].clone() for name in _moving(task, phases[index : index + 1])},
        "averages": [copy.deepcopy(_only(average.state_dict(), averaged)) for average in _averages(trainer)],
        "optimizers": [
            copy.deepcopy(_only(optimizer.state_dict()["state"], _trained(task, optimizer, phases[index])))
            for optimizer in trainer.optimizers
        ],
    }


def _trained(task: Task, optimizer: Optimizer, phase: Phase) -> list[int]:
    """Return the indices in the optimizer's state of the parameters that a phase trains."""
    names = {id(parameter): name for name, parameter in task.named_parameters()}
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return [number for number, parameter in enumerate(parameters) if names[id(parameter)] in phase.trainable]


def _only(state: Mapping[K, V], keys: Sequence[K]) -> dict[K, V]:
    return {key: state[key] for key in keys if key in state}


@torch.no_grad()
def _restore(trainer: Trainer, task: Task, best: Best) -> None:
    """Restore what `_state` copied, bit for bit."""
    now = task.state_dict()
    for name, tensor in best["weights"].items():
        now[name].copy_(tensor)
    for average, state in zip(_averages(trainer), best["averages"], strict=True):
        average.load_state_dict({**average.state_dict(), **state})
    table, phase = task.table, task.table.phases[best["phase"]]
    if table.optimizer_phase(phase.first_epoch) == table.optimizer_phase(trainer.current_epoch):
        for optimizer, moments in zip(trainer.optimizers, best["optimizers"], strict=True):
            whole, trained = optimizer.state_dict(), set(_trained(task, optimizer, phase))
            kept = {number: of for number, of in whole["state"].items() if number not in trained}
            optimizer.load_state_dict({**whole, "state": kept | moments})
