"""Lightning's trainer, which also takes the size of a micro-batch."""

from __future__ import annotations

from typing import Any, Literal, final

from lightning import pytorch
from lightning.pytorch import Callback


@final
class Trainer(pytorch.Trainer):
    """Lightning's, with one argument more, which `run/assembly/micro_batch.py` acts upon.

    Args:
        micro_batch_size: Samples per forward pass; the gradients of as many micro-batches as make up
            ``data.batch_size`` are accumulated, which gives the same step. ``auto`` finds how many fit into memory;
            ``None`` for all of them.
        **options: See `lightning.pytorch.Trainer`.
    """

    # Lightning's connectors set these, unseen by type checkers.
    callbacks: list[Callback]
    accumulate_grad_batches: int
    fast_dev_run: bool | int
    limit_train_batches: int | float
    limit_val_batches: int | float
    limit_test_batches: int | float
    val_check_interval: int | float
    overfit_batches: int | float

    def __init__(self, *, micro_batch_size: int | Literal["auto"] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.micro_batch_size = micro_batch_size
