"""Describe an assembled run for its record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tunesmith.data.spec import members
from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.assembly.table import phases_in_record


def describe(parts: Parts) -> dict[str, Any]:
    """Say what run.json holds of data, weights, policy and the metric that chooses the best epoch."""
    data, table, weights = parts.data, parts.task.table, parts.task.backbone.weights
    spec = asdict(data.spec) | {"class_names": list(data.spec.class_names)}
    return {
        "monitor": {"metric": parts.task.monitor, "mode": parts.task.mode},
        "data": {
            **spec,
            "preprocess": asdict(data.preprocess),
            "splits": data.counts(),
            "members": members(data.table, data.indices),
            "bad_files": data.bad_files,
        },
        "weights": asdict(weights),
        **({"batch": asdict(parts.micro_batches)} if parts.micro_batches else {}),
        "policy": {
            **({"gradients": parts.gradients} if parts.gradients else {}),
            **table.counts(0),
            "phases": phases_in_record(table),
            "stages": [s.name for s in parts.task.backbone.stages],
        },
    }
