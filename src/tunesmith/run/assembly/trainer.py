"""Lightning's trainer, which also takes how much of a batch passes through the model at once."""

from __future__ import annotations

from typing import Any, Literal, final

from lightning import pytorch


@final
class Trainer(pytorch.Trainer):
    """Lightning's, with one argument more, which `run/assembly/micro_batch.py` acts upon.

    Args:
        batch_size: Samples that pass through the model at once; the gradients of as many pieces as make up
            ``data.batch_size`` are accumulated, which gives the same step. ``auto`` finds how many fit into memory;
            ``None`` for all of them.
        **options: See `lightning.pytorch.Trainer`.
    """

    def __init__(self, *, batch_size: int | Literal["auto"] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.batch_size = batch_size
