"""Restore the states of a torchmetrics metric, which checkpoints do not contain."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torchmetrics import Metric

from tunesmith.compat.required import assign, require

require("torchmetrics", Metric, "_computed", "_update_count", "metric_state", "update_count")


def put_back(metric: Metric, states: Mapping[str, Tensor | list[Tensor]], updates: int) -> None:
    """Restore a metric as if it had been updated with the same batches.

    Args:
        metric: The metric, on its device.
        states: Its ``metric_state`` at the time, on the same device.
        updates: Its number of updates.

    Raises:
        LibraryError: The metric has no state of that name.
    """
    for name, state in states.items():
        assign("torchmetrics", metric, name, state)
    assign("torchmetrics", metric, "_update_count", updates)
    assign("torchmetrics", metric, "_computed", None)  # drop the cached result
