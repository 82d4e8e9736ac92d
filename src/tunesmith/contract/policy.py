"""The freeze policies' base classes: what a policy is asked for, and what it may declare of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from tunesmith.contract.parameters import Parameter, Phase
from tunesmith.contract.protocols import Backbone


class Policy(ABC):
    """Selects which parameters train when: a pure function of the epoch, and of where phases ended early.

    Every policy derives from this class, also a user's own.

    Attributes:
        adapts: Whether `adapt` puts anything into the backbone.
        contiguous: Whether weights must stay in NCHW memory order.
    """

    adapts: ClassVar[bool] = False
    contiguous: bool = False

    @abstractmethod
    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Return the phases, ordered by first epoch, beginning with epoch 0."""

    def adapt(self, backbone: Backbone) -> None:  # noqa: B027
        """Put adapters into a backbone before the table is laid out; by default none."""


class GradientPolicy(Policy):
    """A policy that chooses its stages by their relative gradients, once, before training."""

    @property
    @abstractmethod
    def undecided(self) -> bool:
        """Whether the stages are still to be chosen; until then everything trains."""

    @abstractmethod
    def choose(self, gradients: Mapping[str, float]) -> list[str]:
        """Name the stages to train, given the relative gradient of each."""
