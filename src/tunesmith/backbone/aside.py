"""What is put aside while the stages of a backbone run: pooled outputs and maps that are wanted of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

POOLED, STAGE, MAP = "pooled", "stage_features.", "maps."
"""Names in `Activations` that are no stage's: the pooled features; stage features and maps, with their stage's number
behind."""


@dataclass
class Aside:
    """What is put aside while stages run.

    Attributes:
        stage_features: Whether the pooled output of every stage is wanted.
        wanted: Numbers of the stages whose maps are wanted.
        pooled: Pooled outputs ``(B, D_i)`` by number of the stage.
        maps: Maps ``(B, C_i, H_i, W_i)`` by number of the stage.
    """

    stage_features: bool
    wanted: tuple[int, ...]
    pooled: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[int, Tensor] = field(default_factory=dict)

    def take(self, kept: Mapping[str, Any]) -> None:
        """Take over what is kept of earlier stages, as far as it is wanted."""
        for name, tensor in kept.items():
            number = name.rpartition(".")[2]
            if name.startswith(STAGE) and self.stage_features:
                self.pooled[int(number)] = tensor
            elif name.startswith(MAP) and int(number) in self.wanted:
                self.maps[int(number)] = tensor

    def given(self) -> dict[str, Tensor]:
        """Name all of it, for `Activations`."""
        pooled = {f"{STAGE}{i}": tensor for i, tensor in self.pooled.items()}
        return pooled | {f"{MAP}{i}": tensor for i, tensor in self.maps.items()}
