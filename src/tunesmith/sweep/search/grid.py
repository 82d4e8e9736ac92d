"""Search every combination of the swept values."""

from __future__ import annotations

import itertools
from pathlib import Path

from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Space
from tunesmith.sweep.search.listed import Listed


class Grid(Listed):
    """Tries every combination of values once; the alphabetically last key varies fastest.

    Args:
        space: What is searched.
        folder: Folder of the sweep; a grid stores nothing in it.

    Raises:
        ConfigError: A key has an interval, whose values cannot be listed.
    """

    def __init__(self, space: Space, folder: Path) -> None:
        endless = [override for override in space.swept if not override.is_discrete_sweep()]
        if endless:
            raise ConfigError(
                [
                    f"Expected values that can be counted up but got '{o.input_line}': list them, as in "
                    f"'{o.get_key_element()}=0.1,0.2', or choose a sweep that draws them, such as sweep=random."
                    for o in endless
                ]
            )
        lists = [[f"{o.get_key_element()}={text}" for text in o.sweep_string_iterator()] for o in space.swept]
        super().__init__(itertools.product(*lists))
