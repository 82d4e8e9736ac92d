"""Train one stage after another, each alone: chain-thaw."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.contract.parameters import HEAD, Parameter, Phase, Plateau
from tunesmith.contract.policy import Policy
from tunesmith.errors import PolicyError


class Chain(Policy):
    """Trains the head, then each stage alone from the shallowest, then all (chain-thaw, Felbo et al. 2017).

    Args:
        epochs: Epochs of each link, or at most that many with a patience; the last link lasts to the end of the run.
        patience: End a link after this many validations in a row without a new best; ``None`` to run all its epochs.
        min_delta: Improvement by which a validation must beat the best.

    Raises:
        PolicyError: A number is out of range.
    """

    def __init__(self, epochs: int = 1, patience: int | None = None, min_delta: float = 0.0) -> None:
        if epochs < 1:
            raise PolicyError(f"Expected policy.epochs to be at least 1 but got {epochs}.")
        self.epochs = epochs
        self.plateau = Plateau.after(patience, min_delta)

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Return a phase for the head, one for each stage with parameters, and one for everything.

        Args:
            parameters: All parameters of backbone and head.
        """
        depths = sorted({p.depth for p in parameters if p.stage != HEAD})
        links = [frozenset(p.name for p in parameters if p.stage == HEAD)]
        links += [frozenset(p.name for p in parameters if p.stage != HEAD and p.depth == depth) for depth in depths]
        plan = [Phase(number * self.epochs, names, plateau=self.plateau) for number, names in enumerate(links)]
        return [*plan, Phase(len(plan) * self.epochs, frozenset(p.name for p in parameters))]
