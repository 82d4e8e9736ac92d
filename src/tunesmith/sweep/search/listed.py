"""Search a list of jobs that is known before the first one starts."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Sequence

from tunesmith.sweep.protocol import Job, Result, Searcher


class Listed(Searcher, ABC):
    """Returns the jobs of a list, in order.

    Args:
        changes: Overrides of each job; duplicates become one job.
    """

    listed: list[Job]

    def __init__(self, changes: Iterable[tuple[str, ...]]) -> None:
        self.listed = [Job(number, each) for number, each in enumerate(dict.fromkeys(changes))]
        self.total = len(self.listed)
        self._open = {job.number: job for job in self.listed}

    def ask(self, free: int) -> Sequence[Job]:
        """Return the next jobs of the list."""
        return [self._open.pop(number) for number in list(self._open)[:free]]

    def tell(self, job: Job, result: Result | None) -> None:
        """Cross a job off the list."""
        self._open.pop(job.number, None)
