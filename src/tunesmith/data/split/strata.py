"""Define what stratified splitting keeps in proportion: classes, or strata made of labels and values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunesmith.data.table import Ints, Table


def strata(table: Table, rows: Ints, smallest: int) -> Ints:
    """Assign each row to a stratum, to be spread evenly over the parts.

    Classes, ordered or not, are strata themselves. Multi-label: an image's rarest label, or none, so that every part
    gets some of the rare labels; exact proportions of all labels at once are impossible in general (iterative
    stratification, Sechidis et al. 2011, also starts from the rarest label). The same holds for tags. Values: deciles
    of the first value, or the values themselves if there are ten or fewer. Everything else is one stratum.

    Args:
        table: Table with the targets.
        rows: Rows to split ``(R,)``.
        smallest: Rows in the smallest part. There are no more strata than that, and each has at least two rows, so the
            rarest labels or values may share one.

    Returns:
        Stratum of each row ``(R,)``; classes are not merged.
    """
    return table.target.strata(table.targets_of(rows), table.class_names, smallest)


def composition(table: Table, rows: Ints) -> npt.NDArray[np.float64]:
    """Return what whole groups keep in proportion: each row's class, labels or stratum, as indicators ``(R, S)``."""
    return table.target.composition(table.targets_of(rows), table.class_names)
