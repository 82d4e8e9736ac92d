"""One of several classes in an order."""

from __future__ import annotations

from functools import partial
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import DataError
from tunesmith.target.result import classes
from tunesmith.target.result.predictions import Drawings
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.shared.one_class import OneClass


@final
class OrdinalTarget(OneClass):
    """Classes in an order.

    A batch has class indices ``(B,)`` int64. The prediction table also has ``level``, the mean of the classes by their
    probabilities, from 0.
    """

    name = "ordinal"
    plural = "classes in an order"
    loss = "ordinal"
    ranked = True

    def check_mixed(self) -> None:
        """Refuse all mixtures."""
        raise DataError(
            "Expected data.mixup=0 and data.cutmix=0 for classes in an order, since between two of them lie others."
        )

    def columns(self, found: SamplePredictions) -> dict[str, Any]:
        """``label``, ``level`` and ``p_<class>``."""
        own = classes.columns(found)
        level = found.values @ np.arange(len(found.class_names), dtype=np.float32)
        return {"label": own.pop("label"), "level": level, **own}

    def off(self, found: SamplePredictions) -> NDArray[Any]:
        """Levels between each sample and the truth ``(N,)``."""
        levels: NDArray[Any] = np.abs(found.labels - found.targets)
        return levels

    def drawings(self, found: SamplePredictions) -> Drawings:
        """The confusion matrix."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {"confusion_matrix": partial(plot.draw_confusion_matrix, found)}


TARGET = OrdinalTarget()
