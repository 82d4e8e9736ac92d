"""Decide what a sweep does when jobs fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Rules:
    """What to do when jobs fail.

    Attributes:
        on_failure: Whether the other jobs continue.
        max_failures: Number of failed jobs after which no other job starts.
        retries: How often a failed job is restarted.
        timeout: Seconds after which a job is stopped and counts as failed.

    Raises:
        ConfigError: A value makes no sense, such as -1 retries.
    """

    on_failure: Literal["continue", "stop"] = "continue"
    max_failures: int | None = None
    retries: int = 0
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Reject values that would fail every job or be ignored silently."""
        most, again, seconds = self.max_failures, self.retries, self.timeout
        whole = most is None or (_is(most, int) and most >= 1)
        positive = seconds is None or (_is(seconds, int, float) and seconds > 0)
        rules = (
            ("on_failure", self.on_failure, "continue or stop", self.on_failure in ("continue", "stop")),
            ("max_failures", most, "null or a whole number of at least 1", whole),
            ("retries", again, "a whole number of at least 0", _is(again, int) and again >= 0),
            ("timeout", seconds, "null or seconds above 0", positive),
        )
        said = [f"Expected sweep.{key} to be {wanted} but got {value}." for key, value, wanted, ok in rules if not ok]
        if said:
            raise ConfigError(said)

    def end(self, failures: int) -> bool:
        """Return whether this number of failed jobs ends the sweep."""
        most = 1 if self.on_failure == "stop" else self.max_failures
        return most is not None and failures >= most


def _is(value: object, *kinds: type) -> bool:
    """Like `isinstance`, except that a bool does not count as a number."""
    return isinstance(value, kinds) and not isinstance(value, bool)
