"""What stratified splitting keeps in proportion: classes as they are, labels and values in strata made of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunesmith.data.table import Ints, Table


def strata(table: Table, rows: Ints, smallest: int) -> Ints:
    """Give each row the stratum that is to be spread evenly.

    A class, in an order or not, is a stratum as it is. Labels: the rarest label that an image has, or none, so that
    rare labels come into every part; exact proportions of all labels at once there are none. So too for tags. Values:
    tenths of the first value, or the values themselves where there are ten or fewer. All else is one stratum.

    Args:
        table: Where the targets are.
        rows: Rows of the table that are to be parted ``(R,)``.
        smallest: Rows of the smallest part: it holds no more strata than that, and each has at least two rows, so the
            rarest labels or values may share one.

    Returns:
        Stratum of each row ``(R,)``; classes are not merged.
    """
    return table.target.strata(table.targets_of(rows), table.class_names, smallest)


def composition(table: Table, rows: Ints) -> npt.NDArray[np.float64]:
    """What whole groups keep in proportion: each row's class, labels or stratum, as indicators ``(R, S)``."""
    return table.target.composition(table.targets_of(rows), table.class_names)
