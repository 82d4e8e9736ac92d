"""What tunesmith uses of W&B beyond its documentation; imported after the variables that its client reads are set."""

from __future__ import annotations

from typing import Any

import wandb

from tunesmith.compat.required import imported, require, require_keys

with imported("wandb"):
    from wandb.proto import wandb_internal_pb2

require("wandb", wandb_internal_pb2, "Record")
require_keys("wandb", "Settings", wandb.Settings.model_fields, "x_disable_meta")


def settings(**options: Any) -> Any:
    """Make settings of a run by which W&B collects nothing about the machine and the command line, secrets included."""
    return wandb.Settings(x_disable_meta=True, **options)


def record() -> Any:
    """Make an empty record, the message of which an offline run's file is made."""
    return wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # made when it is imported
