"""What a sweep tells a run that is a job of it, through the environment."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path | None:
    """The run folder, where the job finds itself again if it was there before; ``None`` for a run that is no job."""
    name = os.environ.get("TUNESMITH_JOB")
    return Path(name) if name else None


def sweep() -> str | None:
    """The name of the sweep."""
    return os.environ.get("TUNESMITH_SWEEP")
