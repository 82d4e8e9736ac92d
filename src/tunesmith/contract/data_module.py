"""Declare what runs, callbacks and the cache use of a data module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from tunesmith.contract.protocols import Vocabulary
from tunesmith.contract.spec import DataSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor

    from tunesmith.contract.batch import Batch, Inputs

    Rows = npt.NDArray[np.int64]


class Names(Protocol):
    """Texts by row: an array ``(N,)``, or what makes them from row numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> npt.NDArray[np.str_]: ...


class SampleTable(Protocol):
    """The table of all samples of a data module."""

    @property
    def samples(self) -> Sequence[object]:
        """Files, pixels or texts ``(N,)``."""

    @property
    def names(self) -> Names:
        """Names of the samples in prediction tables ``(N,)``."""

    @property
    def what(self) -> str:
        """The plural of a sample, such as ``images``."""

    def __len__(self) -> int: ...


class DataModule(Protocol):
    """Declare what runs, callbacks and the cache may use of a data module; tasks never see one.

    Derive data modules from `tunesmith.data.module.TableData`.

    Attributes:
        spec: Description of the data; after ``setup``.
        batch_size: Samples per step and process.
    """

    spec: DataSpec
    batch_size: int

    @property
    def table(self) -> SampleTable:
        """All samples; after ``setup``."""

    @property
    def indices(self) -> Mapping[str, Rows]:
        """Rows of the table by split; after ``setup``."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Converts between texts and tokens; ``None`` for data that are no texts."""

    @property
    def uncacheable_reason(self) -> str | None:
        """Why outputs of frozen stages must not be cached, as a sentence; ``None`` if they may."""

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return the number of samples by split and class or label."""

    def evaluate_on(self, split: str) -> None:
        """Choose the split that ``test_dataloader`` serves."""

    def start_at(self, epoch: int, batch: int) -> None:
        """Start training at a batch of an epoch, as after serving the earlier ones."""

    def count_by(self, counts: Callable[[Batch], Mapping[str, float]]) -> None:
        """Make training batches carry the totals of their optimizer step."""

    def prepare(self, samples: Sequence[Tensor], device: torch.device, alike: bool = False) -> Inputs:
        """Convert B samples to the backbone's input, as in evaluation; with ``alike``, of one shape for all batches."""

    def length_sorted(self, rows: Rows, batch: int) -> Rows:
        """Order rows so that batches of ``batch`` samples are computed fastest."""
