"""What a run is between two batches, beyond weights and optimizer: all that the next bit depends on.

Plain containers and tensors only, so that a checkpoint loads with ``weights_only=True``. Lightning (2.6) saves neither
random streams nor the states of metrics, and enters a resumed epoch by guessing from counters where it was killed:
`settle` writes those counters as they are between two batches, for which the guess is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

State = dict[str, Any]


def streams(device: torch.device) -> State:
    """The random streams of python, numpy, torch and the device."""
    version, words, normal = random.getstate()
    name, keys, position, has_gauss, gauss = np.random.get_state()
    state: State = {
        "python": [version, list(words), normal],
        "numpy": [str(name), [int(k) for k in keys], int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def restore_streams(state: State, device: torch.device) -> None:
    """Put the random streams where `streams` found them."""
    version, words, normal = state["python"]
    random.setstate((version, tuple(words), normal))
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])


def metrics(module: LightningModule) -> State:
    """The states of the task's training metrics, which the module's own state leaves out."""
    found: State = {}
    for name, metric in _train_metrics(module):
        values = {
            k: [x.detach().cpu().clone() for x in v] if isinstance(v, list) else v.detach().cpu().clone()
            for k, v in metric.metric_state.items()
        }
        found[name] = {"values": values, "updates": metric._update_count}
    return found


def restore_metrics(state: State, module: LightningModule) -> None:
    """Put the training metrics where `metrics` found them."""
    for name, metric in _train_metrics(module):
        for key, value in state[name]["values"].items():
            on_device = [x.to(metric.device) for x in value] if isinstance(value, list) else value.to(metric.device)
            setattr(metric, key, on_device)
        metric._update_count = state[name]["updates"]
        metric._computed = None


def _train_metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    for name, metric in module.named_modules():
        if name.startswith("train_") and isinstance(metric, Metric):
            yield name, metric


def settle(loops: State, epoch: int, batch: int) -> None:
    """Write Lightning's counters as they are between two batches.

    Args:
        loops: ``checkpoint["loops"]["fit_loop"]``, changed in place.
        epoch: The epoch of the next batch.
        batch: Its number; 0 where the epoch has not begun.
    """
    begun = epoch + 1 if batch else epoch
    for counter in loops["epoch_progress"].values():
        counter.update(ready=begun, started=begun, processed=epoch, completed=epoch)
    progress = loops["epoch_loop.batch_progress"]
    for which, done in (("total", progress["total"]["completed"]), ("current", batch)):
        progress[which].update(ready=done, started=done, processed=done, completed=done)
    progress["is_last_batch"] = False


def enter(trainer: Trainer, state: State) -> None:
    """Make Lightning begin at the position as if it had never stopped; call it in ``on_train_start``."""
    if state["batch"] == 0:
        # Else a run that is limited in steps would take the start of an epoch for its middle.
        trainer.fit_loop.epoch_loop.restarting = False


def settled_in(trainer: Trainer, state: State) -> None:
    """Undo what Lightning did on its way into the epoch; call it before anything is logged, and at the first batch."""
    loop = trainer.fit_loop
    # It counts one step more where it believes that validation was due.
    loop.epoch_loop._batches_that_stepped = state["stepped"]
    # It leaves out a plateau schedule's step at the end of an epoch that it takes for restarted.
    loop._restarting = False
