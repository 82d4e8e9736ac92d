"""Search the values of all keys in parallel: the first of each, the second of each, and so on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Space
from tunesmith.sweep.search.dimension import Dimension, dimensions
from tunesmith.sweep.search.listed import Listed


class Paired(Listed):
    """Pairs the n-th values of all keys, and crosses each pair with every combination of the crossed keys.

    Args:
        space: What is searched.
        folder: Folder of the sweep; nothing is stored in it.
        crossed: Keys that are not paired; by default those that make replicates.

    Raises:
        ConfigError: The keys have different numbers of values, or one has an interval.
    """

    def __init__(
        self, space: Space, folder: Path, crossed: Sequence[str] = ("seed", "data.split.seed", "data.split.fold")
    ) -> None:
        found = dimensions(space)
        endless = [dimension.key for dimension in found if not dimension.values]
        if endless:
            raise ConfigError(f"Expected values that can be counted up but got an interval for {', '.join(endless)}.")
        pairs = [dimension for dimension in found if dimension.key not in crossed]
        counts = {dimension.key: len(dimension.values) for dimension in pairs}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{count} of {key}" for key, count in counts.items())
            raise ConfigError(f"Expected equally many values of each key, to take them together, but got {said}.")
        together = list(zip(*map(_written, pairs), strict=True)) or [()]
        others = list(itertools.product(*(_written(each) for each in found if each.key in crossed)))
        super().__init__((*one, *other) for one, other in itertools.product(together, others))


def _written(dimension: Dimension) -> list[str]:
    return [f"{dimension.key}={value}" for value in dimension.values]
