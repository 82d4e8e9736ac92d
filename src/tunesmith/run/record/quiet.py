"""Keep the screen for what the user must know; each silenced message has its reason."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

_SILENCED = {
    # The number of workers is measured (data/image/module.py); Lightning only compares it with the number of cores.
    ".*does not have many workers.*": UserWarning,
    # An epoch shorter than the logging interval is normal for small data; metrics of each epoch are logged anyway.
    r".*is smaller than the logging interval Trainer\(log_every_n_steps.*": UserWarning,
    # The folder is ours: the run made it, and the manifest was written there.
    ".*Checkpoint directory .* exists and is not empty.*": UserWarning,
    # The sampler begins at the batch, which Lightning cannot know.
    ".*your dataloader is not resumable.*": UserWarning,
    # Frozen parts are in eval mode on purpose; Lightning counts them at the start of fit.
    ".*module.s. in eval mode at the start of training.*": UserWarning,
    # Lightning 2.6 against torch 2.15; its own business.
    r".*isinstance\(treespec, LeafSpec\)` is deprecated.*": FutureWarning,
    # A fitted head needs neither losses nor an optimizer, so there are no rates to show; run/assembly/fitted.py.
    ".*`training_step` returned `None`.*": UserWarning,
    ".*configure_optimizers` returned `None`.*": UserWarning,
    ".*`LearningRateMonitor` callback with models that have no learning rate schedulers.*": RuntimeWarning,
    # Of a few numbers that an adapter has for each channel, (1, C, 1, 1), under DDP: their order is the same both ways.
    ".*Grad strides do not match bucket view strides.*": UserWarning,
    # Of a loss that is NaN; run/callback/non_finite.py says more, and stops.
    ".*Encountered `nan` values in tensor.*": UserWarning,
    # Without a validation split there is no validation loop, which the data table has already said.
    ".*Total length of `list` across ranks is zero.*": UserWarning,
    # A class that a split lacks, or a batch of few images; of splits, data/publish.py has already warned.
    ".*No (positive|negative) samples.*": UserWarning,
    ".*score for one or more classes was `nan`.*": UserWarning,
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's tips and the warnings that do not apply, for the length of a run."""
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
