"""Unfreeze the backbone from the head down, one stage at a time."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.contract.parameters import HEAD, Parameter, Phase, Plateau
from tunesmith.contract.policy import Policy
from tunesmith.errors import PolicyError


class Gradual(Policy):
    """Trains the head, then also the deepest stage, and so on to the shallowest (ULMFiT, Howard and Ruder 2018).

    Args:
        epochs: Epochs between two stages, or at most that many with a patience.
        stages: Number of stages to unfreeze, from the deepest; ``None`` for all.
        patience: Unfreeze the next stage after this many validations in a row without beating the best since the last;
            ``None`` to run all epochs.
        min_delta: Improvement by which a validation must beat the best.

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
        """Return a phase for the head alone, and one more for each stage that unfreezes.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: ``stages`` exceeds the number of stages with parameters.
        """
        # A stage without parameters (a pooling layer) gets no phase: nothing in it would unfreeze.
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
