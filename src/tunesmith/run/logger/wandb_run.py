"""Begin a W&B run that no job waits for; without Lightning, so that a sweep's launcher can do it too."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

PATIENCE = 8.0
"""Seconds to wait for W&B's server at the start of a run."""

LAST = 6.0
"""Seconds to wait for it when training is over, for its tables and for the rest; its client then takes 12 to leave."""

log = logging.getLogger(__name__)


def begin(mode: Literal["auto", "online", "offline", "disabled"], arguments: Mapping[str, Any]) -> Any:
    """Begin a W&B run; offline where the server does not answer, since no run should wait for it.

    Args:
        mode: ``auto``, ``online``, ``offline`` or ``disabled``.
        arguments: Of `wandb.init`.
    """
    # Its reports on itself, for which a process that ends would wait 20 seconds where the server hangs (0.31).
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
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


def log_tables(run: Any, content: Mapping[str, Any]) -> None:
    """Log what W&B does not only write down: before it takes a table it asks the server, and would wait for it.

    Args:
        run: W&B's.
        content: Tables, charts and images by name.
    """
    _patiently(run, lambda: run.log(dict(content)), "tables and charts, which are in the run folder")


def end(run: Any, exit_code: int = 0) -> None:
    """End a run; what the server does not take in time is left for later."""
    _patiently(run, lambda: run.finish(exit_code=exit_code), "end of the run")


def _patiently(run: Any, call: Callable[[], None], what: str) -> None:
    """Call in a thread that can be left behind; offline, where a disk is waited for, as it is."""
    if run.settings.mode != "online":
        call()
        return
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            call()
        except Exception as error:  # of any kind that a client of theirs may raise: no run should fail of its log
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(LAST)
    if errors or thread.is_alive():
        said = " ".join(str(errors[0]).split()) if errors else "no answer"
        log.warning(f"W&B's server did not take the {what} ({said}); wandb sync uploads what is kept of the run.")


def _settings(mode: str) -> Any:
    from tunesmith.compat.wandb import settings

    waits: Any = (
        {"init_timeout": PATIENCE, "finish_timeout": LAST - 1} if mode == "online" else {}
    )  # a disk is waited for
    # Its capture of the console would carry argv, secrets included.
    return settings(save_code=False, console="off", silent=True, **waits)
