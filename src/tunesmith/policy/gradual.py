"""Thawing from the head down, a stage at a time."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.contract.parameters import HEAD, Parameter, Phase, Plateau
from tunesmith.contract.policy import Policy
from tunesmith.errors import PolicyError


class Gradual(Policy):
    """First the head trains, then the deepest stage too, and so on down to the shallowest (Howard and Ruder 2018).

    Args:
        epochs: Epochs from one stage to the next, at most where there is a patience.
        stages: How many stages thaw, from the deepest; ``None`` for all of them.
        patience: The next stage thaws after so many validations in a row that do not beat the best since the last;
            ``None`` to wait for all epochs.
        min_delta: By how much a validation must beat it.

    Raises:
        PolicyError: A number is out of range.
    """

    def __init__(
        self, epochs: int = 1, stages: int | None = None, patience: int | None = None, min_delta: float = 0.0
    ) -> None:
        for name, value in (("epochs", epochs), ("stages", stages)):
            if value is not None and value < 1:
                raise PolicyError(f"Expected policy.{name} to be at least 1 but got {value}.")
        self.epochs = epochs
        self.stages = stages
        self.plateau = Plateau.after(patience, min_delta)

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Lay out a phase for the head alone, and one more for each stage that thaws.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: More stages are to thaw than the backbone has with parameters.
        """
        # A stage without parameters (a pooling layer) takes no phase: nothing would thaw in it.
        depths = sorted({p.depth for p in parameters if p.stage != HEAD}, reverse=True)
        wanted = len(depths) if self.stages is None else self.stages
        if wanted > len(depths):
            raise PolicyError(
                f"Expected policy.stages to be at most {len(depths)}, the backbone's stages with parameters, "
                f"but got {wanted}."
            )
        plan = []
        for number in range(wanted + 1):
            thawed = set(depths[:number])
            trains = frozenset(p.name for p in parameters if p.stage == HEAD or p.depth in thawed)
            plan.append(Phase(number * self.epochs, trains, plateau=self.plateau if number < wanted else None))
        return plan
