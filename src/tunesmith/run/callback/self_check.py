"""Check that frozen weights kept their bits and that trained ones moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast, final

from lightning.pytorch import Callback, LightningModule, Trainer

from tunesmith.errors import RunError
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import digests
from tunesmith.task.optimization.freeze import frozen_names

SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """Which weights a run changed.

    Attributes:
        frozen: Number of parameters and buffers that no phase trained.
        frozen_moved: Names of those that changed anyway.
        trained: Number of parameters that a phase trained.
        trained_unmoved: Names of those that did not change.
    """

    frozen: int
    frozen_moved: list[str]
    trained: int
    trained_unmoved: list[str]

    def sentences(self) -> Iterator[str]:
        """Yield the sentences for the user."""
        if self.trained_unmoved:
            yield (
                f"{len(self.trained_unmoved)} of {self.trained} tensors that trained never moved: "
                f"{_some(self.trained_unmoved)}."
            )

    def enforce(self) -> None:
        """Require that no frozen tensor changed.

        Raises:
            RunError: A tensor that no phase trained has changed.
        """
        if self.frozen_moved:
            raise RunError(
                f"Expected {self.frozen} frozen tensors to keep their bits but {len(self.frozen_moved)} changed: "
                f"{_some(self.frozen_moved)}; something writes to them besides the optimizer, and the weights of this "
                "run are not what its policy says."
            )


@final
class SelfCheck(Callback):
    """Compares digests of all weights and buffers at the end of a run with those at its start.

    The digests of the start are in every checkpoint, so that a resumed run is compared with the original start. They
    take 0.3 s for the 25.6 million weights of a ResNet-50, on one core, twice per run.
    """

    def __init__(self) -> None:
        self._start: dict[str, str] = {}
        self.verdict: Verdict | None = None

    def state_dict(self) -> dict[str, dict[str, str]]:
        """Return the digests of the start by name."""
        return {"start": self._start}

    def load_state_dict(self, state_dict: dict[str, dict[str, str]]) -> None:
        """Load the digests of the start."""
        self._start = dict(state_dict["start"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Digest the weights of a new run."""
        if not self._start:
            self._start = digests(pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the start."""
        self.verdict = compare(cast(Task, pl_module), self._start, trainer.current_epoch)


def compare(task: Task, start: Mapping[str, str], epochs: int) -> Verdict:
    """Compare a task with its start."""
    phases = [p for p in task.table.phases if p.first_epoch <= epochs]
    trained = frozenset(chain.from_iterable(p.trainable for p in phases if p.first_epoch < max(1, epochs)))
    frozen = frozen_names(task, [p.trainable for p in phases])
    now = digests(task)
    return Verdict(
        frozen=len(frozen),
        frozen_moved=[name for name in frozen if now[name] != start[name]],
        trained=len(trained),
        trained_unmoved=[name for name in now if name in trained and now[name] == start[name]],
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
