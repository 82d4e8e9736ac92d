"""Use what Optuna does not document."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from tunesmith.compat.required import require

require("optuna", FrozenTrial, "_trial_id")


def reopened(study: Study, trial: FrozenTrial) -> Trial:
    """Reopen a trial so that another process than the one that asked for it can report to it."""
    return Trial(study, trial._trial_id)
