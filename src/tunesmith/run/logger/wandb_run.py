"""Start a W&B run that never blocks a job; without Lightning, so that a sweep's launcher can use it."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from tunesmith import recorded
from tunesmith.errors import RunError

if TYPE_CHECKING:
    import wandb
    from wandb.sdk.wandb_run import Run

Mode: TypeAlias = Literal["auto", "online", "offline", "disabled"]

PATIENCE = 8.0
"""Seconds to wait for W&B's server at the start of a run."""

LAST = 6.0
"""Seconds to wait for it after training, for the tables and again for the rest; its client then takes 12 s to exit."""

log = logging.getLogger(__name__)


class Arguments(TypedDict, total=False):
    """Arguments of `wandb.init`."""

    project: str
    entity: str | None
    group: str | None
    job_type: str
    id: str
    resume: Literal["allow"]
    name: str
    dir: Path
    tags: list[str]
    config: dict[str, object]


def require_own_server() -> None:
    """Check that no file in the current folder sends a recorded run, and the user's key, to a server of its choice.

    Raises:
        RunError: ``wandb/settings`` names a server.
    """
    for path in (Path("wandb", "settings"), Path(".wandb", "settings")):
        if path.is_file() and re.search(rb"(?i)base_url|api_key", recorded.read_bytes(path)):
            raise RunError(
                f"Expected no server of W&B in {path} for a recorded run, since the file may be a stranger's; remove "
                "it, or start from another folder and set WANDB_BASE_URL."
            )


def begin(mode: Mode, arguments: Arguments) -> Run:
    """Start a W&B run; offline if the server does not respond.

    Args:
        mode: ``auto`` is online if ``WANDB_API_KEY`` is set, else offline.
        arguments: Arguments of `wandb.init`.
    """
    # Its error reports block a finishing process for 20 s if the server hangs (0.31).
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
        wandb.teardown(exit_code=1)  # its service still holds the run
        return wandb.init(mode="offline", settings=_settings("offline"), **arguments)


def log_tables(run: Run, content: Mapping[str, object]) -> None:
    """Log tables, charts and images, for which W&B first queries the server."""
    _patiently(run, lambda: run.log(dict(content)), "tables and charts, which are in the run folder")


def end(run: Run, exit_code: int = 0) -> None:
    """End a run; data that the server does not accept in time is left for `wandb sync`."""
    _patiently(run, lambda: run.finish(exit_code=exit_code), "end of the run")


def _patiently(run: Run, call: Callable[[], None], what: str) -> None:
    """Call in a thread that can be abandoned after `LAST` seconds; offline, call directly."""
    if run.settings.mode != "online":
        call()
        return
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            call()
        except Exception as error:  # of any kind: a run must not fail because of its logger
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(LAST)
    if errors or thread.is_alive():
        said = " ".join(str(errors[0]).split()) if errors else "no answer"
        log.warning(f"W&B's server did not take the {what} ({said}); wandb sync uploads what is kept of the run.")


def _settings(mode: str) -> wandb.Settings:
    from tunesmith.compat.wandb import settings

    return settings((PATIENCE, LAST - 1) if mode == "online" else None)
