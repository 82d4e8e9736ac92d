"""Define a kind of target: everything that tables, tasks, results and pages need to know about it."""

from __future__ import annotations

import functools
import importlib
import keyword
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from tunesmith.contract.asked import Asked
from tunesmith.contract.features import OutputPer
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import ConfigError, nearest
from tunesmith.target.result.predictions import Answers, Column, Predictions
from tunesmith.target.table.cells import Cells, Found, Targets
from tunesmith.target.table.strata import BINS, Floats, Ints, merged, rarest

if TYPE_CHECKING:
    from torch import Tensor

DENSE = "dense"
"""In a loss's ``targets``: every kind with many outputs per sample, each of them a class."""

Moments: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each value ``(K,)``."""

T = TypeVar("T", bound=Targets, default=Targets)
"""The targets of R samples, as one kind has them."""
One = TypeVar("One", default=object)
"""The target of one sample."""


class Target(ABC, Generic[T, One]):
    """A kind of target; the final classes have no state, and each module ``target/<kind>.py`` holds its one object.

    The targets of R samples are an array, class indices ``(R,)`` int64 or columns ``(R, K)`` float32, or a sequence of
    R plain values; ``names`` are the K names of classes, labels, values or tags.
    """

    name: ClassVar[str]
    """Name in `DataSpec.target` and run.json."""
    plural: ClassVar[str]
    """Word for the targets of a data set."""
    title: ClassVar[str] = ""
    """Heading of the names in a table of counts."""
    unit: ClassVar[str] = "class"
    """Word for one of the names."""
    total: ClassVar[str | None] = None
    """Word for the sum of the counts; ``None`` if the sum means nothing."""
    loss: ClassVar[str]
    """Default loss."""
    head: ClassVar[str] = "linear"
    """Default head."""
    exclusive: ClassVar[bool] = False
    """Whether a sample has exactly one of several classes."""
    output_per: ClassVar[OutputPer] = "sample"
    """What there is one output for; the number of tokens and pixels varies by sample."""
    independent: ClassVar[bool] = False
    """Whether each output is a decision of its own."""
    class_weights: ClassVar[bool] = False
    """Whether a loss's ``weight`` has one weight per class, which a fitted head then applies to samples."""
    written: ClassVar[bool] = False
    """Whether the texts themselves are what is learnt."""

    # ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self, targets: T, names: tuple[str, ...]) -> None:
        """Refuse targets that are not of this kind.

        Raises:
            DataError: Shape, range or number of names are wrong.
        """

    def plain(self, targets: T, names: tuple[str, ...]) -> list[object]:
        """Return each target as a plain value, for the data's fingerprint."""
        return list(targets)

    def counts(self, targets: T, names: tuple[str, ...]) -> Ints | None:
        """Count the samples, words or pixels with each name ``(K,)``; ``None`` if there is nothing to count."""
        return None

    def occurrences(self, targets: T, names: tuple[str, ...]) -> Floats | None:
        """Return which names each sample has, 0 or 1 ``(R, K)``; ``None`` for kinds without names to have."""
        return None

    def strata(self, targets: T, names: tuple[str, ...], smallest: int) -> Ints:
        """Return the stratum of each sample ``(R,)``, to spread evenly; see `tunesmith.data.split.strata.strata`."""
        found = self.occurrences(targets, names)
        return np.zeros(len(targets), np.int64) if found is None else merged(rarest(found), max(1, smallest))

    def composition(self, targets: T, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return what splits by whole groups keep in proportion, as indicators ``(R, S)``."""
        found = self.occurrences(targets, names)
        if found is not None:
            return np.column_stack([found, np.ones(len(targets))]).astype(np.float64)
        parts = self.strata(targets, names, BINS)
        return np.eye(int(parts.max()) + 1)[parts]

    def moments(self, targets: T, names: tuple[str, ...], what: str) -> Moments:
        """Return mean and standard deviation of each training value; empty for kinds other than values.

        Raises:
            DataError: A value is constant.
        """
        return (), ()

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split that lacks some names; missing tags only cause a warning.

        Raises:
            DataError: Some are absent.
        """

    def in_words(self, target: One, names: tuple[str, ...]) -> str:
        """Describe the target of one sample."""
        return str(target)

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Make targets from columns of a user's table.

        Args:
            columns: The table.
            labels: Names of the columns.
            separator: Separator of several labels in one column.
            classes: Classes, or labels in one column, in order.

        Raises:
            ConfigError: This kind is not made from columns.
            DataError: A cell does not fit.
        """
        raise ConfigError(
            f"Expected labels in columns but got data.target={self.name}, which is not read from columns."
        )

    def given(self, targets: T, names: tuple[str, ...]) -> Found:
        """Use class indices that a source already has as targets."""
        return Found(self.name, targets, names)

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def head_mistakes(self, head: str, output_per: OutputPer) -> Iterator[str]:
        """Yield a message if a head has the wrong number of outputs, such as one per sample instead of per token.

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
        """Return whether a loss for the given kinds takes this one."""
        return self.name in targets or (self.dense and DENSE in targets)

    @property
    def dense(self) -> bool:
        """Whether a sample has many outputs, in a number that varies by sample."""
        return self.output_per != "sample"

    def check_mixed(self) -> None:
        """Refuse MixUp and CutMix for kinds that cannot be mixed.

        Raises:
            DataError: This kind cannot.
        """

    def regressed(self, target: Tensor) -> Tensor:
        """Return the regression targets of least squares ``(N, K)``: +1 for a class or label that applies, else -1."""
        return 2 * target - 1

    def cache_key(self) -> dict[str, str]:
        """Return the properties of the target that change the backbone's input."""
        return {}

    def always(self, spec: DataSpec) -> tuple[Tensor, str] | None:
        """Return the most frequent training target as a prediction ``(K,)``, and its name; ``None`` without one."""
        return None

    def quoted(self, name: str) -> str:
        """Format the most frequent target's name for a table's heading."""
        return name

    # ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make predictions from what a test collected.

        Args:
            task: The task.
            names: Names of the samples.
            found: Collected values of all samples, by name: tensors ``(N, …)``, or lists of N.
        """

    @abstractmethod
    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make predictions from what ``tunesmith predict`` collected.

        Args:
            task: The task.
            data: The data module, which served the samples.
            asked: The samples to predict on.
            found: Results of all samples, by name, from the task's ``predict_step``.
        """

    def pooled_columns(self, names: Sequence[str]) -> list[str] | None:
        """Name the columns of a prediction table that `pooled` needs; ``None`` if folds cannot be pooled."""
        return None

    def pooled(self, columns: Mapping[str, Column], names: Sequence[str]) -> dict[str, float]:
        """Compute metrics over the predictions of all folds from columns ``(N,)``."""
        return {}


@functools.cache
def of(name: str) -> Target:
    """Return the object of a kind of target from the module ``target/<name>.py``, or ``<name>_.py`` for a keyword.

    Raises:
        ConfigError: There is no such kind.
    """
    if name not in kinds():
        raise ConfigError(f"Expected a kind of target but got '{name}'.{nearest(name, kinds())}")
    found: Target = importlib.import_module(f"tunesmith.target.{name}{'_' * keyword.iskeyword(name)}").TARGET
    return found


@functools.cache
def kinds() -> tuple[str, ...]:
    """List the names of all kinds of target: the modules beside this one."""
    modules = pkgutil.iter_modules(importlib.import_module("tunesmith.target").__path__)
    return tuple(module.name.removesuffix("_") for module in modules if not module.ispkg and module.name != "base")
