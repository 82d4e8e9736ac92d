"""Use what W&B does not document; import it after setting the variables that its client reads."""

from __future__ import annotations

from typing import Any

import wandb

from tunesmith.compat.required import imported, require, require_keys

with imported("wandb"):
    from wandb.proto import wandb_internal_pb2

require("wandb", wandb_internal_pb2, "Record")
require_keys("wandb", "Settings", wandb.Settings.model_fields, "x_disable_meta")


def settings(timeouts: tuple[float, float] | None = None) -> wandb.Settings:
    """Return quiet settings with which W&B collects nothing about machine, code, console and command line.

    Args:
        timeouts: Seconds to wait for the server at the start and at the end of a run; ``None`` for W&B's own.
    """
    # Its capture of the console would upload argv, secrets included.
    found = wandb.Settings(x_disable_meta=True, save_code=False, console="off", silent=True)
    if timeouts is not None:
        found.init_timeout, found.finish_timeout = timeouts
    return found


def record() -> Any:
    """Return an empty record, the protobuf message that an offline run's file consists of."""
    return wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # generated on import
