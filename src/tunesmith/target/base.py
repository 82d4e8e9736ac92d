"""What a kind of target is: all that a table, a task, a result and a page must know of what is said of a sample."""

from __future__ import annotations

import functools
import importlib
import keyword
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tunesmith.contract.asked import Asked
from tunesmith.contract.features import OutputPer
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import ConfigError, nearest
from tunesmith.target.result.predictions import Answers, Predictions
from tunesmith.target.table.cells import Cells, Found
from tunesmith.target.table.strata import BINS, Floats, Ints, merged, rarest

if TYPE_CHECKING:
    from torch import Tensor

DENSE = "dense"
"""What a loss names among its targets that is for every kind with many outputs per sample, each of them a class."""


class Target(ABC):
    """A kind of target; the final classes have no state, and each module ``target/<kind>.py`` holds its one object.

    Targets of R samples are an array, class indices ``(R,)`` int64 or columns ``(R, K)`` float32, or a sequence of R
    plain values; ``names`` are the K names of classes, labels, values or tags.
    """

    name: ClassVar[str]
    """As `DataSpec.target` and run.json have it."""
    plural: ClassVar[str]
    """What people call the targets of a data set."""
    title: ClassVar[str] = ""
    """What heads the names in a table of counts."""
    unit: ClassVar[str] = "class"
    """What one of the names is."""
    total: ClassVar[str | None] = None
    """What the sum of the counts is called; ``None`` where it is no number of anything."""
    loss: ClassVar[str]
    """The first choice of loss."""
    head: ClassVar[str] = "linear"
    """The first choice of head."""
    exclusive: ClassVar[bool] = False
    """Whether a sample has exactly one of several classes."""
    output_per: ClassVar[OutputPer] = "sample"
    """What there is one output for; tokens and pixels count in any number per sample."""
    independent: ClassVar[bool] = False
    """Whether each output is a decision of its own."""
    class_weights: ClassVar[bool] = False
    """Whether a loss's ``weight`` has one weight of each class, by which a fitted head weighs samples."""
    written: ClassVar[bool] = False
    """Whether the texts themselves are what is to be learnt."""

    # ── of a table ──────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self, targets: Any, names: tuple[str, ...]) -> None:  # noqa: B027 - plain values are believed
        """Refuse targets that cannot be of this kind.

        Raises:
            DataError: Shape, range or number of names are wrong.
        """

    def plain(self, targets: Any, names: tuple[str, ...]) -> list[Any]:
        """Each target as a plain value, by which the data are fingerprinted."""
        return list(targets)

    def counts(self, targets: Any, names: tuple[str, ...]) -> Ints | None:
        """Number of samples, or of words, with each name ``(K,)``; ``None`` where there is nothing to count."""
        return None

    def occurrences(self, targets: Any, names: tuple[str, ...]) -> Floats | None:
        """Which of the names each sample has, 0 or 1 ``(R, K)``; ``None`` of kinds without."""
        return None

    def strata(self, targets: Any, names: tuple[str, ...], smallest: int) -> Ints:
        """Stratum of each sample ``(R,)``, to be spread evenly; see `tunesmith.data.split.strata.strata`."""
        found = self.occurrences(targets, names)
        return np.zeros(len(targets), np.int64) if found is None else merged(rarest(found), max(1, smallest))

    def composition(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """What whole groups keep in proportion, as indicators ``(R, S)``."""
        found = self.occurrences(targets, names)
        if found is not None:
            return np.column_stack([found, np.ones(len(targets))]).astype(np.float64)
        parts = self.strata(targets, names, BINS)
        return np.eye(int(parts.max()) + 1)[parts]

    def moments(self, targets: Any, names: tuple[str, ...], what: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each value of train; empty but for values.

        Raises:
            DataError: A value is the same for all.
        """
        return (), ()

    def check_train(self, absent: Sequence[str], what: str) -> None:  # noqa: B027 - most kinds have nothing to refuse
        """Refuse a training split without some of the names; of tags there is only a warning.

        Raises:
            DataError: Some are absent.
        """

    def in_words(self, target: Any, names: tuple[str, ...]) -> str:
        """The target of one sample, for people."""
        return str(target)

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Make targets of columns of a user's table.

        Args:
            columns: The table.
            labels: The columns.
            separator: Between the labels in one column.
            classes: The classes, or the labels in one column, in their order.

        Raises:
            ConfigError: Such targets are not made of columns.
            DataError: A cell does not fit.
        """
        raise ConfigError(f"Expected labels in columns but got data.target={self.name}, which is read another way.")

    def given(self, targets: Any, names: tuple[str, ...]) -> Found:
        """Targets that a source has at hand."""
        return Found(self.name, targets, names)

    # ── of a task ───────────────────────────────────────────────────────────────────────────────────────────────────

    def head_mistakes(self, head: str, output_per: OutputPer) -> Iterator[str]:
        """Say so where a head's outputs are for something else, such as one per sample where each token needs one.

        Args:
            head: Name of its class.
            output_per: What it has one output for.
        """
        if output_per != self.output_per:
            yield (
                f"Expected a head with an output per {self.output_per} for {self.name} targets but got {head}, "
                f"which has one per {output_per}; use head={self.head}."
            )

    def fits(self, targets: Sequence[str]) -> bool:
        """Whether a loss for some targets is for this one."""
        return self.name in targets or (self.dense and DENSE in targets)

    @property
    def dense(self) -> bool:
        """Whether a sample has many outputs, of which more count in one sample than in another."""
        return self.output_per != "sample"

    def check_mixed(self) -> None:  # noqa: B027 - most kinds have nothing to refuse
        """Refuse mixtures of samples where there are none.

        Raises:
            DataError: There are none.
        """

    def regressed(self, target: Tensor) -> Tensor:
        """What least squares is to give: +1 for the class or a label that is, else -1 ``(N, K)``."""
        return 2 * target - 1

    def cache_key(self) -> dict[str, str]:
        """What of the target the backbone's input depends on."""
        return {}

    def always(self, spec: DataSpec) -> tuple[Tensor, str] | None:
        """What is commonest in train, as a prediction ``(K,)``, and its name; ``None`` where there is no such thing."""
        return None

    def quoted(self, name: str) -> str:
        """The name of what is commonest, in a table's head."""
        return name

    # ── of a result ─────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """What a test said.

        Args:
            task: The task.
            names: Of the samples.
            found: What it kept of the test, of all samples.
        """

    @abstractmethod
    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """What a prediction said.

        Args:
            task: The task.
            data: The data module, which was given the samples.
            asked: What was to be predicted on.
            found: What each step gave, of all samples: see ``predict_step`` of the task.
        """

    def pooled_columns(self, names: Sequence[str]) -> list[str] | None:
        """Columns of a prediction table that `pooled` takes; ``None`` where predictions of folds are not pooled."""
        return None

    def pooled(self, columns: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
        """Metrics over the predictions of all folds, by columns of arrays ``(N,)``."""
        return {}


@functools.cache
def of(name: str) -> Target:
    """The object of a kind of target, which is that of the module ``target/<name>.py``, or ``<name>_.py`` of a keyword.

    Raises:
        ConfigError: There is no such kind.
    """
    if name not in kinds():
        raise ConfigError(f"Expected a kind of target but got '{name}'.{nearest(name, kinds())}")
    found: Target = importlib.import_module(f"tunesmith.target.{name}{'_' * keyword.iskeyword(name)}").TARGET
    return found


@functools.cache
def kinds() -> tuple[str, ...]:
    """The names of all kinds of target: of the modules beside this one."""
    modules = pkgutil.iter_modules(importlib.import_module("tunesmith.target").__path__)
    return tuple(module.name.removesuffix("_") for module in modules if not module.ispkg and module.name != "base")
