"""Extend Lightning's trainer by the micro-batch size."""

from __future__ import annotations

from typing import Any, Literal, final

from lightning import pytorch
from lightning.pytorch import Callback


@final
class Trainer(pytorch.Trainer):
    """Lightning's trainer with ``micro_batch_size``, which `run/assembly/micro_batch.py` applies.

    Args:
        micro_batch_size: Samples per forward pass; gradients are accumulated over ``data.batch_size`` samples, which
            gives the same step. ``auto`` finds how many fit into memory; ``None`` for all.
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
