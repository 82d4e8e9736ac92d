"""Define targets of one class per sample, in an order."""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np

from tunesmith.errors import DataError
from tunesmith.target.result import classes
from tunesmith.target.result.predictions import Drawings
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.shared.one_class import OneClass
from tunesmith.target.table.strata import Numbers


@final
class OrdinalTarget(OneClass):
    """Classes in an order.

    A batch has class indices ``(B,)`` int64. The prediction table also has ``level``, the expected class index.
    """

    name = "ordinal"
    plural = "ordered classes"
    loss = "ordinal"
    ranked = True

    def check_mixed(self) -> None:
        """Refuse MixUp and CutMix."""
        raise DataError("Expected data.mixup=0 and data.cutmix=0 for ordered classes, which cannot be mixed.")

    def columns(self, found: SamplePredictions) -> dict[str, object]:
        """Return ``label``, ``level`` and ``p_<class>``."""
        own = classes.columns(found)
        level = found.values @ np.arange(len(found.class_names), dtype=np.float32)
        return {"label": own.pop("label"), "level": level, **own}

    def off(self, found: SamplePredictions) -> Numbers:
        """Return the number of levels between prediction and truth ``(N,)``."""
        assert found.targets is not None
        levels: Numbers = np.abs(found.labels - found.targets)
        return levels

    def drawings(self, found: SamplePredictions) -> Drawings:
        """Return the confusion matrix."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {"confusion_matrix": partial(plot.draw_confusion_matrix, found)}


TARGET = OrdinalTarget()
