"""Save and restore the state between two batches beyond weights and optimizer, for bit-identical resumes.

Plain containers and tensors only, so that a checkpoint loads with ``weights_only=True``. Lightning (2.6) saves neither
random streams nor metric states, and infers from loop counters where a run was killed: `compat.lightning.settle` sets
those counters to their values between two batches, where the inference is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypedDict

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import NotRequired

from tunesmith.compat.torchmetrics import put_back

Numbers: TypeAlias = "list[Any]"
"""The state of a generator that declares no type for it, as a list."""


class Streams(TypedDict):
    """The states of random generators."""

    python: Numbers
    numpy: Numbers
    torch: Tensor
    device: NotRequired[Tensor]


class MetricState(TypedDict):
    """The states of a metric by name, and its number of updates."""

    values: dict[str, Tensor | list[Tensor]]
    updates: int


def streams(device: torch.device) -> Streams:
    """Return the random states of Python, numpy, torch and the device."""
    version, words, normal = random.getstate()
    name, keys, position, has_gauss, gauss = np.random.get_state()
    state: Streams = {
        "python": [version, list(words), normal],
        "numpy": [str(name), [int(k) for k in keys], int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def restore_streams(state: Streams, device: torch.device) -> None:
    """Restore the random states that `streams` returned."""
    version, words, normal = state["python"]
    random.setstate((version, tuple(words), normal))
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])


def metrics(module: LightningModule) -> dict[str, MetricState]:
    """Return the states of the task's training metrics, which are not in its ``state_dict``."""
    found: dict[str, MetricState] = {}
    for name, metric in _train_metrics(module):
        values = {
            k: [x.detach().cpu().clone() for x in v] if isinstance(v, list) else v.detach().cpu().clone()
            for k, v in metric.metric_state.items()
        }
        found[name] = {"values": values, "updates": metric.update_count}
    return found


def restore_metrics(state: Mapping[str, MetricState], module: LightningModule) -> None:
    """Restore the training metrics that `metrics` returned."""
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
