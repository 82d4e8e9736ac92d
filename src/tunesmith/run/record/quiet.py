"""Silence messages that do not concern the user, each for a stated reason."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

_SILENCED = {
    # The number of workers is measured (data/image/module.py); Lightning only compares it with the number of cores.
    ".*does not have many workers.*": UserWarning,
    # Normal for small data; metrics of each epoch are logged anyway.
    r".*is smaller than the logging interval Trainer\(log_every_n_steps.*": UserWarning,
    # The run created the folder and wrote its manifest there.
    ".*Checkpoint directory .* exists and is not empty.*": UserWarning,
    # The sampler starts at the right batch, which Lightning cannot know.
    ".*your dataloader is not resumable.*": UserWarning,
    # Frozen parts are in eval mode on purpose.
    ".*module.s. in eval mode at the start of training.*": UserWarning,
    # Lightning 2.6 with torch 2.15.
    r".*isinstance\(treespec, LeafSpec\)` is deprecated.*": FutureWarning,
    # A fitted head has neither losses nor an optimizer; run/assembly/fitted.py.
    ".*`training_step` returned `None`.*": UserWarning,
    ".*configure_optimizers` returned `None`.*": UserWarning,
    ".*`LearningRateMonitor` callback with models that have no learning rate schedulers.*": RuntimeWarning,
    # Adapter parameters (1, C, 1, 1) under DDP: both memory orders are the same.
    ".*Grad strides do not match bucket view strides.*": UserWarning,
    # A NaN loss: run/callback/non_finite.py reports it and stops.
    ".*Encountered `nan` values in tensor.*": UserWarning,
    # Without a validation split there is no validation loop, as the data table shows.
    ".*Total length of `list` across ranks is zero.*": UserWarning,
    # A class is missing in a split, of which data/spec.py warns, or in a small batch.
    ".*No (positive|negative) samples.*": UserWarning,
    ".*score for one or more classes was `nan`.*": UserWarning,
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's tips and inapplicable warnings during a run."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message, category in _SILENCED.items():
            warnings.filterwarnings("ignore", message=message, category=category)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
