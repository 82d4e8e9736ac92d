"""Read, inside the fork server, the sources that every job's configuration check would read.

The fork server can only import modules, so this one does its work on import. Reading the sources of all that a
configuration names takes a third of the second that a job needs before it trains.
"""

from __future__ import annotations

import contextlib
import os

from tunesmith.config.check import signature
from tunesmith.config.check.check import check
from tunesmith.config.check.source import AbsentError, UnreadableError
from tunesmith.config.compose import compose
from tunesmith.errors import TunesmithError

VARIABLE = "TUNESMITH_WARM"
"""Holds the targets that the jobs name; `local.Local` sets it for the fork server."""


def warm(targets: list[str]) -> None:
    """Compose and check a training configuration, and read the signatures of further targets."""
    with contextlib.suppress(TunesmithError):
        check(compose("train"))
    for target in targets:
        with contextlib.suppress(AbsentError, UnreadableError):
            signature.read(target)


if VARIABLE in os.environ:
    warm(os.environ.pop(VARIABLE).split())
