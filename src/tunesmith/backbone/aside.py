"""Keep pooled outputs and maps while the stages of a backbone run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

POOLED, STAGE, MAP = "pooled", "stage_features.", "maps."
"""Names in `Activations` besides those of stages: pooled features; stage features and maps, followed by their stage's
number."""


@dataclass
class Aside:
    """Outputs kept while stages run.

    Attributes:
        stage_features: Whether to keep the pooled output of every stage.
        wanted: Numbers of the stages whose maps to keep.
        pooled: Pooled outputs ``(B, D_i)`` by number of the stage.
        maps: Maps ``(B, C_i, H_i, W_i)`` by number of the stage.
    """

    stage_features: bool
    wanted: tuple[int, ...]
    pooled: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[int, Tensor] = field(default_factory=dict)

    def take(self, kept: Mapping[str, object]) -> None:
        """Take over the cached outputs of earlier stages that are needed."""
        for name, tensor in kept.items():
            if not isinstance(tensor, Tensor):
                continue
            number = name.rpartition(".")[2]
            if name.startswith(STAGE) and self.stage_features:
                self.pooled[int(number)] = tensor
            elif name.startswith(MAP) and int(number) in self.wanted:
                self.maps[int(number)] = tensor

    def given(self) -> dict[str, Tensor]:
        """Return all kept outputs by their names in `Activations`."""
        pooled = {f"{STAGE}{i}": tensor for i, tensor in self.pooled.items()}
        return pooled | {f"{MAP}{i}": tensor for i, tensor in self.maps.items()}
