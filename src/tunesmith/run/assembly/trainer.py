"""Lightning's trainer, which also takes the size of a micro-batch."""

from __future__ import annotations

from typing import Any, Literal, final

from lightning import pytorch


@final
class Trainer(pytorch.Trainer):
    """Lightning's, with one argument more, which `run/assembly/micro_batch.py` acts upon.

    Args:
        micro_batch_size: Samples per forward pass; the gradients of as many micro-batches as make up
            ``data.batch_size`` are accumulated, which gives the same step. ``auto`` finds how many fit into memory;
            ``None`` for all of them.
        **options: See `lightning.pytorch.Trainer`.
    """

    def __init__(self, *, micro_batch_size: int | Literal["auto"] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.micro_batch_size = micro_batch_size
