"""One stage after another, each alone."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.errors import PolicyError
from tunesmith.parameters import HEAD, Parameter, Phase


class Chain:
    """The head trains alone, then each stage alone, from the shallowest on, then all together (Felbo et al. 2017).

    Args:
        epochs: Epochs of each link; the last lasts to the end of the run.

    Raises:
        PolicyError: It is below 1.
    """

    def __init__(self, epochs: int = 1) -> None:
        if epochs < 1:
            raise PolicyError(f"Expected policy.epochs to be at least 1 but got {epochs}.")
        self.epochs = epochs

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Lay out a phase for the head, one for each stage with parameters, and one for all.

        Args:
            parameters: All parameters of backbone and head.
        """
        depths = sorted({p.depth for p in parameters if p.stage != HEAD})
        links = [frozenset(p.name for p in parameters if p.stage == HEAD)]
        links += [frozenset(p.name for p in parameters if p.stage != HEAD and p.depth == depth) for depth in depths]
        links.append(frozenset(p.name for p in parameters))
        return [Phase(number * self.epochs, names) for number, names in enumerate(links)]
