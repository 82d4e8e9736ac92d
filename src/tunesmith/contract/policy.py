"""Define the base classes of freeze policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from tunesmith.contract.parameters import Parameter, Phase
from tunesmith.contract.protocols import Backbone


class Policy(ABC):
    """Selects which parameters train when: a pure function of the epoch, and of where phases ended early.

    Every policy, including a user's own, derives from this class.

    Attributes:
        adapts: Whether `adapt` inserts anything into the backbone.
        contiguous: Whether weights must stay in NCHW memory order.
    """

    adapts: ClassVar[bool] = False
    contiguous: bool = False

    @abstractmethod
    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Return the phases, ordered by first epoch, starting with epoch 0."""

    def adapt(self, backbone: Backbone) -> None:  # noqa: B027
        """Insert adapters into a backbone before the parameter table is made; by default none."""


class GradientPolicy(Policy):
    """A policy that chooses its stages by their relative gradients, once, before training."""

    @property
    @abstractmethod
    def undecided(self) -> bool:
        """Return whether the stages are still to be chosen; until then everything trains."""

    @abstractmethod
    def choose(self, gradients: Mapping[str, float]) -> list[str]:
        """Return the names of the stages to train, given the relative gradient of each."""
