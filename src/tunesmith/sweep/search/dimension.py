"""Read one key of a search as written on the command line: values, a range or an interval."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep

from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Space

DIGITS = 6
"""Significant digits of a drawn number: no result depends on the seventh, and names stay short."""


@dataclass(frozen=True)
class Dimension:
    """The values that one key may take.

    Attributes:
        key: Key as written before the equals sign.
        values: Countable values, written for Hydra; empty for an interval.
        low: Smallest number of an interval or of a range of integers.
        high: Largest number, inclusive.
        step: Step between the integers of a range.
        whole: Whether numbers are integers.
        log: Whether numbers are drawn on a logarithmic scale.
    """

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    whole: bool = False
    log: bool = False

    @property
    def count(self) -> float:
        """Number of values; infinite for an interval of real numbers."""
        return len(self.values) or (self.high - self.low + 1 if self.whole else math.inf)

    def draw(self, generator: random.Random) -> str:
        """Draw a value, written for Hydra."""
        if self.values:
            return generator.choice(self.values)
        # Draw from the real interval that rounds to the integers, so that both ends are as likely as the others.
        edge = 0.5 if self.whole else 0.0
        return self.write(self._between(self.low - edge, self.high + edge, generator))

    def _between(self, low: float, high: float, generator: random.Random) -> float:
        if not self.log:
            return generator.uniform(low, high)
        return float(low * (high / low) ** generator.random())

    def write(self, number: float) -> str:
        """Write a number for Hydra, clipped to the interval."""
        within = min(max(number, self.low), self.high)
        if self.whole:
            return str(round(within))
        return str(float(f"{within:.{DIGITS}g}"))


def dimensions(space: Space) -> list[Dimension]:
    """Read the searched keys, in the order of the space.

    Raises:
        ConfigError: An interval is empty, or is logarithmic and reaches zero or below.
    """
    found, mistakes = [], []
    for override in space.swept:
        dimension = _read(override, override.value())
        empty = not dimension.values and dimension.low >= dimension.high
        if empty or (dimension.log and dimension.low <= 0):
            wanted = "from above 0 " if dimension.log else ""
            mistakes.append(f"Expected an interval {wanted}to something larger but got '{override.input_line}'.")
        found.append(dimension)
    if mistakes:
        raise ConfigError(mistakes)
    return found


def _read(override: Override, sweep: object) -> Dimension:
    key = override.get_key_element()
    log = isinstance(sweep, Sweep) and "log" in sweep.tags
    if isinstance(sweep, IntervalSweep):
        whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        return Dimension(key, (), sweep.start or 0, sweep.end or 0, whole=whole, log=log)
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if isinstance(sweep, RangeSweep) and all(isinstance(n, int) for n in (sweep.start, sweep.stop, sweep.step)):
        numbers = [int(value) for value in values]
        return Dimension(key, values, min(numbers), max(numbers), abs(int(sweep.step)), whole=True, log=log)
    return Dimension(key, values, log=log)
