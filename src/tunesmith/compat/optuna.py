"""What tunesmith uses of Optuna beyond its documentation."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from tunesmith.compat.required import require

require("optuna", FrozenTrial, "_trial_id")


def reopened(study: Study, trial: FrozenTrial) -> Trial:
    """Open a trial of a study again, so that it can report: a process gets one for trials of its own alone."""
    return Trial(study, trial._trial_id)
