"""What a run is between two batches, beyond weights and optimizer: all that the next bit depends on.

Plain containers and tensors only, so that a checkpoint loads with ``weights_only=True``. Lightning (2.6) saves neither
random streams nor the states of metrics, and enters a resumed epoch by guessing from counters where it was killed:
`settle` of `compat/lightning.py` writes those counters as they are between two batches, where the guess is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torchmetrics import Metric

from tunesmith.compat.torchmetrics import put_back

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
        found[name] = {"values": values, "updates": metric.update_count}
    return found


def restore_metrics(state: State, module: LightningModule) -> None:
    """Put the training metrics where `metrics` found them."""
    for name, metric in _train_metrics(module):
        states = {
            key: [x.to(metric.device) for x in value] if isinstance(value, list) else value.to(metric.device)
            for key, value in state[name]["values"].items()
        }
        put_back(metric, states, state[name]["updates"])


def _train_metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    for name, metric in module.named_modules():
        if name.startswith("train_") and isinstance(metric, Metric):
            yield name, metric
