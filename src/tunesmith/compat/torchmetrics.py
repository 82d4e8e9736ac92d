"""Put the states of a torchmetrics metric back, which a checkpoint does not hold."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torchmetrics import Metric

from tunesmith.compat.required import assign, require

require("torchmetrics", Metric, "_computed", "_update_count", "metric_state", "update_count")


def put_back(metric: Metric, states: Mapping[str, Tensor | list[Tensor]], updates: int) -> None:
    """Give a metric the states that it had, as if it had been updated by the same batches.

    Args:
        metric: On its device.
        states: As ``metric.metric_state`` gave them, on the same device.
        updates: How often it had been updated.

    Raises:
        LibraryError: It has no state of such a name.
    """
    for name, state in states.items():
        assign("torchmetrics", metric, name, state)
    assign("torchmetrics", metric, "_update_count", updates)
    assign("torchmetrics", metric, "_computed", None)  # what it came to before
