"""Describe an assembled run for its record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tunesmith.data.spec import members
from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.assembly.table import phases_in_record
from tunesmith.run.record.schema import Record


def describe(parts: Parts) -> Record:
    """Return the sections of run.json on data, weights, micro-batches, policy and the monitored metric."""
    data, table = parts.data, parts.task.table
    about: Any = {
        "monitor": {"metric": parts.task.monitor, "mode": parts.task.mode},
        "data": {
            **asdict(data.spec),
            "class_names": list(data.spec.class_names),
            "preprocess": asdict(data.preprocess),
            "splits": data.counts(),
            "members": members(data.table, data.indices),
            "bad_files": data.bad_files,
        },
        "weights": asdict(parts.task.backbone.weights),
        **({"batch": asdict(parts.micro_batches)} if parts.micro_batches else {}),
        "policy": {
            **({"gradients": parts.gradients} if parts.gradients else {}),
            **table.counts(0),
            "phases": phases_in_record(table),
            "stages": [s.name for s in parts.task.backbone.stages],
        },
    }
    record: Record = about
    return record
