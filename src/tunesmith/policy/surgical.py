"""Train only the stages that respond most strongly to the data: surgical fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith.contract.parameters import HEAD, Parameter, Phase
from tunesmith.contract.policy import GradientPolicy
from tunesmith.errors import PolicyError, nearest


class Surgical(GradientPolicy):
    """Trains the head and the stages with the largest relative gradient (surgical fine-tuning, Lee et al. 2023).

    The relative gradient of a stage is the norm of its gradient over the norm of its weights, on one batch before
    training. The choice is made once and recorded in the run's configuration, so that a resumed run keeps it.

    Args:
        stages: Number of stages that train.
        chosen: Names of the stages; ``None`` to choose them by their gradients.

    Raises:
        PolicyError: The number is below 1.
    """

    def __init__(self, stages: int = 1, chosen: Sequence[str] | None = None) -> None:
        if stages < 1:
            raise PolicyError(
                f"Expected policy.stages to be at least 1 but got {stages}; policy=linear_probe trains the head alone."
            )
        self.stages = stages
        self.chosen = None if chosen is None else tuple(chosen)

    @property
    def undecided(self) -> bool:
        """Whether the stages are still to be chosen."""
        return self.chosen is None

    def choose(self, gradients: Mapping[str, float]) -> list[str]:
        """Return the names of the stages to train, by their relative gradients.

        Raises:
            PolicyError: The backbone has fewer stages with parameters than ``stages``.
        """
        if self.stages > len(gradients):
            raise PolicyError(
                f"Expected policy.stages to be at most {len(gradients)}, the backbone's stages with parameters, "
                f"but got {self.stages}."
            )
        return sorted(gradients, key=lambda stage: -gradients[stage])[: self.stages]

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Return one phase: the head and the chosen stages, or everything before the choice is made.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: A chosen stage does not exist.
        """
        known = {p.stage for p in parameters}
        for name in self.chosen or ():
            if name not in known:
                raise PolicyError(f"Expected policy.chosen to name stages but got '{name}'.{nearest(name, known)}")
        wanted = known if self.chosen is None else {HEAD, *self.chosen}
        return [Phase(0, frozenset(p.name for p in parameters if p.stage in wanted))]
