"""Define targets of one class per sample, without an order."""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray

from tunesmith.target.result.predictions import Drawings
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.shared.one_class import OneClass


@final
class ClassTarget(OneClass):
    """Classes without an order.

    A batch has class indices ``(B,)`` int64 or, for mixed samples, class probabilities ``(B, K)`` float32.
    """

    name = "class"
    plural = "classes"
    loss = "cross_entropy"
    class_weights = True
    ranked = False

    def off(self, found: SamplePredictions) -> NDArray[np.bool_]:
        """Return whether each prediction is wrong ``(N,)``."""
        different: NDArray[np.bool_] = found.labels != found.targets
        return different

    def drawings(self, found: SamplePredictions) -> Drawings:
        """Return the confusion matrix and the reliability diagram."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {
            "confusion_matrix": partial(plot.draw_confusion_matrix, found),
            "reliability": partial(plot.draw_reliability, found),
        }


TARGET = ClassTarget()
