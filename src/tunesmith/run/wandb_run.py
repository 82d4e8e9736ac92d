"""Begin a W&B run that no job waits for; without Lightning, so that a sweep's launcher can do it too."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Literal

PATIENCE = 8.0
"""Seconds to wait for W&B's server, once at the start and once at the end of a run."""

log = logging.getLogger(__name__)


def begin(mode: Literal["auto", "online", "offline", "disabled"], arguments: Mapping[str, Any]) -> Any:
    """Begin a W&B run; offline where the server does not answer, since no run should wait for it.

    Args:
        mode: ``auto``, ``online``, ``offline`` or ``disabled``.
        arguments: Of `wandb.init`.
    """
    import wandb

    if mode == "auto":
        mode = "online" if os.environ.get("WANDB_API_KEY") else "offline"
    try:
        return wandb.init(mode=mode, settings=_settings(mode), **arguments)
    except wandb.errors.Error as error:
        if mode != "online":
            raise
        said = " ".join(str(error).split())
        log.warning(f"W&B's server did not take the run ({said}): it is logged offline; wandb sync uploads it later.")
        wandb.teardown(exit_code=1)  # its service still has the run
        return wandb.init(mode="offline", settings=_settings("offline"), **arguments)


def _settings(mode: str) -> Any:
    import wandb

    waits: Any = (
        {"init_timeout": PATIENCE, "finish_timeout": PATIENCE} if mode == "online" else {}
    )  # a disk is waited for
    # W&B's own metadata and console capture would carry argv, secrets included.
    return wandb.Settings(x_disable_meta=True, save_code=False, console="off", silent=True, **waits)
