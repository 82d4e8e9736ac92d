"""Define the data module that every source derives from: a source supplies a table, this splits and serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import Batch, Inputs
from tunesmith.contract.plain import PlainData
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.protocols import Vocabulary
from tunesmith.contract.spec import DataSpec
from tunesmith.data.dataset import CachedSamples, Decoded, SplitDataset
from tunesmith.data.fingerprint import Contents, shared
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.bad_files import BadFiles
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.mixing import Mixing
from tunesmith.data.loader import Loader, check_full_batch, make_loader
from tunesmith.data.randomness import private
from tunesmith.data.sampler import EpochSampler, Lengths, Stream
from tunesmith.data.spec import count, data_spec, warn
from tunesmith.data.split.split import Split
from tunesmith.data.table import SPLITS, Ints, Table
from tunesmith.data.text.tokenizer import Keep
from tunesmith.data.window import Counts, Steps
from tunesmith.data.workers import Watches
from tunesmith.errors import DataError, nearest

Parts: TypeAlias = dict[str, Any]  # of a `Batch`, by name


class TableData(LightningDataModule, ABC):
    """Reads, splits and batches samples and their targets; a run calls `connect`, `setup`, then the loaders.

    Args:
        split: How to split.
        sampler: Training order: ``shuffled``, or ``balanced``: every epoch has equally many samples of each class.
        batch_size: Samples per step and process; the recipes were tuned at 32.
        workers: Loader processes; ``auto``: 0 if nothing is decoded, else all cores but one, at most 8.
        worker_timeout: Seconds without a batch after which loader processes count as hanging; 0 waits for ever.
        pin_memory: Whether to put batches into page-locked memory; ``auto``: if there is a CUDA device.
        seed: Seed of the order of batches and of augmentation; the run's seed.
        drop_last: Whether to drop a last training batch that is not full.

    Attributes:
        modality: Name of the modality of the samples.
        table: All samples; after `setup`.
        indices: Rows of the table by split; after `setup`.
        digests: Digest of each sample's content, and whether whole files were digested; after `setup`.
        bad_files: Name of each image that was skipped, and the reason; after `setup`.
        duplicates: Pairs of rows of equal content in different splits; after `setup`.
        spec: Description of the data; after `setup` or `predict_on`.
        preprocess: Preprocessing of the backbone; after `connect`.
        mixing: Mixtures in training.
        test_views: Views of an image that a test averages over.
        watches: Watches the loader processes; a command sets its own first.
    """

    modality: ClassVar[str]
    table: Table
    indices: dict[str, Ints]
    digests: tuple[Sequence[bytes], bool]
    duplicates: list[tuple[int, int]]
    spec: DataSpec
    preprocess: Preprocess
    mixing: Mixing
    test_views: str = "none"
    vocabulary: Vocabulary | None = None

    def __init__(
        self,
        *,
        split: Split,
        sampler: Literal["shuffled", "balanced"] = "shuffled",
        batch_size: int = 32,
        workers: int | Literal["auto"] = "auto",
        worker_timeout: float = 600.0,
        pin_memory: bool | Literal["auto"] = "auto",
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        super().__init__()
        for name, value, least in ("batch_size", batch_size, 1), ("worker_timeout", worker_timeout, 0):
            if value < least:
                raise DataError(f"Expected {name} to be at least {least} but got {value}.")
        self.split, self.balanced = split, sampler == "balanced"
        self.bad_files: BadFiles = []
        self.batch_size, self.seed, self.drop_last = batch_size, seed, drop_last
        self.workers, self.worker_timeout = workers, worker_timeout
        self.pin_memory = torch.cuda.is_available() if pin_memory == "auto" else pin_memory
        self.tested, self.watches = "test", Watches()
        self._start = (0, 0)
        self._kept: Callable[[str], CachedSamples | None] = lambda split: None
        self._decoded: Callable[[Decode], Decoded | None] = lambda decoder: None
        self._predicted: Sequence[object] | None = None
        self._counts: Counts | None = None

    @abstractmethod
    def load(self) -> Table:
        """Read the table, without decoding samples."""

    @abstractmethod
    def connect(self, preprocess: Preprocess) -> None:
        """Take over the backbone's preprocessing; call it before the loaders.

        Raises:
            ConfigError: The backbone is for another kind of samples.
        """

    def keep_tokens(self, keep: Keep | None) -> None:
        """Set the cache of tokens, before `setup`; images have no tokens."""

    @abstractmethod
    def find(self, source: str, trained: PlainData, spec: DataSpec, skip: bool) -> Asked:
        """Find the samples to predict on; call it after `connect`.

        Args:
            source: The command's ``input``, as typed.
            trained: The ``data`` of the run's configuration.
            spec: Spec of the training run.
            skip: Whether to skip samples that cannot be read, rather than raise a `DataError`.
        """

    @abstractmethod
    def plain(self, rows: Ints) -> SplitDataset:
        """Return rows of the table as in evaluation, decoded on access."""

    @abstractmethod
    def prepare(self, samples: Sequence[Tensor], device: torch.device, alike: bool = False) -> Inputs:
        """Convert B samples to the backbone's input, as in evaluation; with ``alike``, of one shape for all batches."""

    @abstractmethod
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Prepare a loader's batch for the backbone, on the device."""

    @abstractmethod
    def _dataset(self, split: str, training: bool, tested: bool) -> SplitDataset:
        """Return the dataset of a split, or of the samples to predict on (``predict``)."""

    def usable(self, table: Table) -> tuple[Table, BadFiles]:
        """Return the table without the samples that are to be skipped because they cannot be read."""
        return table, []

    def contents(self) -> Contents:
        """Read and digest the table."""
        table, self.bad_files = self.usable(self.load())
        return Contents.of(table)

    def setup(self, stage: str | None = None) -> None:
        """Load and split the data and publish `spec`; does nothing the second time, and for prediction.

        Raises:
            DataError: The data are missing, or cannot be split as configured.
        """
        if hasattr(self, "table") or (stage == "predict" and self._predicted is not None):
            return
        table = (contents := self.contents()).table
        self.indices = self.split(table, contents.rows)
        self.digests = contents.digests, contents.whole
        self.duplicates = shared(contents.twins, self.indices)
        self.spec = data_spec(table, self.indices, contents.fingerprint, self.split.unit(table))
        warn(table, self.indices, self.duplicates, contents.twins)
        self.mixing.check(self.spec)
        if self.balanced and not table.target.exclusive:
            raise DataError(f"Expected data.sampler=shuffled where the targets are no classes but {table.kind}.")
        self.table = table

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the samples by split and class or label; by split and ``samples`` for values."""
        return {split: count(self.table, rows) for split, rows in self.indices.items()}

    def evaluate_on(self, split: str) -> None:
        """Choose the split that `test_dataloader` serves, without augmentation and in the table's order."""
        if split not in SPLITS:
            raise DataError(f"Expected a split but got '{split}'.{nearest(split, SPLITS)}")
        self.tested = split

    def start_at(self, epoch: int, batch: int) -> None:
        """Start training at a batch of an epoch, as after serving the earlier ones."""
        self._start = (epoch, batch)

    def serve(self, kept: Callable[[str], CachedSamples | None], decoded: Callable[[Decode], Decoded | None]) -> None:
        """Serve a split's samples from a cache of activations and one of images; call it before the loaders."""
        self._kept, self._decoded = kept, decoded

    def count_by(self, counts: Counts) -> None:
        """Make training batches carry the totals of their optimizer step; call it before the loaders."""
        self._counts = counts

    def transfer_batch_to_device(self, batch: Parts, device: torch.device, dataloader_idx: int) -> Parts:
        """Move a batch to the device, except its ``meta`` and ``totals``."""
        stays = {name: batch[name] for name in ("meta", "totals") if name in batch}
        moves = {name: part for name, part in batch.items() if name not in stays}
        return {**super().transfer_batch_to_device(moves, device, dataloader_idx), **stays}

    def augmentation(self) -> Augmentation | None:
        """Return the augmentation of training samples; ``None`` for none."""
        return None

    @property
    def uncacheable_reason(self) -> str | None:
        """Why outputs of frozen stages must not be cached, as a sentence; ``None`` if they may."""
        return None

    def decoders(self, split: str) -> Decode | None:
        """Return the decoder of a split's files, for `serve`; ``None`` if there are no files to decode."""
        return None

    def largest(self, rows: Ints, count: int) -> Ints:
        """Return the ``count`` of some rows that take most memory."""
        return rows[:count]

    def heaviest(self, count: int) -> Parts:
        """Return a training batch of the samples that take most memory, prepared as in evaluation."""
        dataset = self.plain(self.largest(self.indices["train"], count))
        return {**dataset.collate([dataset[position] for position in range(len(dataset))])}

    def length_sorted(self, rows: Ints, batch: int) -> Ints:
        """Order rows of the table so that batches of ``batch`` samples are computed fastest."""
        return rows

    def predict_on(self, samples: Sequence[Any], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve samples, with ``target`` -1, by the spec of a training run."""
        if not samples:
            raise DataError("Expected at least one image or text to predict on but got none.")
        self._predicted, self.spec = list(samples), spec

    def train_dataloader(self) -> Loader:
        """Return the batches of train: shuffled, and augmented if configured."""
        if self.drop_last:
            check_full_batch(len(self.indices["train"]), self.batch_size, self.table.what)
        return self._loader("train", training=True)

    def val_dataloader(self) -> Loader | list[object]:
        """Return the batches of val, in the table's order; an empty list if there is no such split."""
        return self._loader("val") if "val" in self.indices else []

    def test_dataloader(self) -> Loader | list[object]:
        """Return the batches of the split chosen by `evaluate_on`; an empty list if that is test and there is none."""
        if self.tested == "test" and "test" not in self.indices:
            return []
        if self.tested not in self.indices:
            raise DataError(
                f"Expected a split with {self.table.what} but got '{self.tested}'.{nearest(self.tested, self.indices)}"
            )
        return self._loader(self.tested, tested=True)

    def predict_dataloader(self) -> Loader:
        """Return the batches of the samples of `predict_on`, prepared as in evaluation."""
        if self._predicted is None:
            raise DataError("Expected samples to predict on but got none; call predict_on first.")
        return self._loader("predict", tested=True)

    def _loader(self, split: str, training: bool = False, tested: bool = False) -> Loader:
        dataset = self._dataset(split, training, tested)
        # Lightning makes the loader of a resumed run before it knows the epoch.
        first, batch = self._start
        epoch = max(first, self.trainer.current_epoch if self.trainer is not None else 0)
        skip = batch * self.batch_size if training and epoch == first else 0
        classes = torch.from_numpy(self.table.targets[dataset.rows]) if training and self.balanced else None
        beside = self._lengths(dataset, training), self._streams(training)
        sampler = EpochSampler(len(dataset), self.seed, training, epoch, skip, classes, *beside)
        loader = make_loader(
            dataset,
            sampler,
            batch_size=self.batch_size,
            workers=self.workers,
            timeout=self.worker_timeout,
            processes=self._processes(),
            pin_memory=self.pin_memory,
            drop_last=training and self.drop_last,
            generator=private("loader", self.seed, split),
            watches=self.watches,
        )
        if training:
            loader.counts, loader.steps = self._counts, lambda: Steps.of(self.trainer)
            loader.begun = lambda: sampler.skipped // self.batch_size
        return loader

    def _lengths(self, dataset: SplitDataset, training: bool) -> Lengths | None:
        """Return the lengths by which training samples are grouped into batches; ``None`` for random batches."""
        return None

    def _streams(self, training: bool) -> dict[str, Stream]:
        """Return further training samples by name."""
        return {}

    def _processes(self) -> int:
        return self.trainer.num_devices if self.trainer is not None else 1
