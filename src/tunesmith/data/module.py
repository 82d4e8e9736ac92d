"""Define the data module that every source derives from; a source gives a table, this splits and serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningDataModule

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import Batch, Inputs
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.protocols import Vocabulary
from tunesmith.contract.spec import DataSpec
from tunesmith.data.dataset import CachedSamples, Decoded, SplitDataset
from tunesmith.data.fingerprint import Contents, shared
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.bad_files import BadFiles
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


class TableData(LightningDataModule, ABC):
    """Reads, splits and batches samples and their targets; a run calls `connect`, `setup`, then the loaders.

    Args:
        split: How to split.
        sampler: Order of training: ``shuffled``, or ``balanced``: every epoch has equally many samples of each class.
        batch_size: Samples a step and process.
        workers: Loader processes; ``auto``: 0 if nothing is decoded, else all cores but one, at most 8.
        worker_timeout: Seconds without a batch after which loader processes count as hanging; 0 waits for ever.
        pin_memory: Whether batches are put into page-locked memory; ``auto`` where there is a CUDA device.
        seed: Of the order of batches and of augmentation; the run's seed.
        drop_last: Whether to leave out a last training batch that is not full.

    Attributes:
        modality: Name of the modality of the samples.
        table: All samples; after `setup`.
        indices: Rows of the table that each split holds; after `setup`.
        digests: Of each sample's content, and whether they are over whole files; after `setup`.
        bad_files: Name of each image that was left out, and why; after `setup`.
        duplicates: Rows with the same content in different splits, in pairs; after `setup`.
        spec: What the data are; after `setup` or `predict_on`.
        preprocess: How the backbone wants its samples; after `connect`.
        mixing: Mixtures in training.
        test_views: Views of an image that a test averages over.
        watches: What loader processes are reading; a command sets its own first.
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
        sampler: Literal["shuffled", "balanced"],
        batch_size: int,
        workers: int | Literal["auto"],
        worker_timeout: float,
        pin_memory: bool | Literal["auto"],
        seed: int,
        drop_last: bool,
    ) -> None:
        super().__init__()
        for name, value, least in ("batch_size", batch_size, 1), ("worker_timeout", worker_timeout, 0):
            if value < least:
                raise DataError(f"Expected {name} to be at least {least} but got {value}.")
        self.split = split
        self.balanced = sampler == "balanced"
        self.bad_files: BadFiles = []
        self.batch_size, self.seed, self.drop_last = batch_size, seed, drop_last
        self.workers, self.worker_timeout = workers, worker_timeout
        self.pin_memory = torch.cuda.is_available() if pin_memory == "auto" else pin_memory
        self.tested = "test"
        self.watches = Watches()
        self._start = (0, 0)
        self._kept: Callable[[str], CachedSamples | None] = lambda split: None
        self._decoded: Callable[[Any], Decoded | None] = lambda decoder: None
        self._predicted: Sequence[Any] | None = None
        self._counts: Counts | None = None

    @abstractmethod
    def load(self) -> Table:
        """Read what there is, without decoding it."""

    @abstractmethod
    def connect(self, preprocess: Preprocess) -> None:
        """Take over how the backbone wants its samples; call it before the loaders.

        Raises:
            ConfigError: The backbone is for another kind of samples.
        """

    def keep_tokens(self, keep: Keep | None) -> None:
        """Take over what keeps the tokens of texts, before `setup`; images have none."""

    @abstractmethod
    def find(self, source: str, trained: Mapping[str, Any], spec: DataSpec, skip: bool) -> Asked:
        """Find the samples to predict on by what was typed as ``input``; call it after `connect`.

        Args:
            source: What was typed.
            trained: The ``data`` of the run's configuration.
            spec: Spec of the training run.
            skip: Whether to leave out samples that cannot be read; without it they are a `DataError`.
        """

    @abstractmethod
    def plain(self, rows: Ints) -> SplitDataset:
        """Rows of the table as in evaluation, decoded when they are asked for."""

    @abstractmethod
    def prepare(self, samples: Sequence[Any], device: torch.device, alike: bool = False) -> Inputs:
        """Make the backbone's input of B samples, as in evaluation; of one shape for all batches if ``alike``."""

    @abstractmethod
    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Make what the backbone takes, on the device, once a batch."""

    @abstractmethod
    def _dataset(self, split: str, training: bool, tested: bool) -> SplitDataset:
        """The dataset of a split, or of what is predicted (``predict``)."""

    def usable(self, table: Table) -> tuple[Table, BadFiles]:
        """The table without what cannot be read, where that is to be left out."""
        return table, []

    def contents(self) -> Contents:
        """Read the table, and digest it."""
        table, self.bad_files = self.usable(self.load())
        return Contents.of(table)

    def setup(self, stage: str | None = None) -> None:
        """Load, split and publish `spec`; a second call does nothing, nor does one for what `predict_on` was given.

        Raises:
            DataError: The data are missing, or cannot be split as asked.
        """
        if hasattr(self, "table") or (stage == "predict" and self._predicted is not None):
            return
        contents = self.contents()
        table = contents.table
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
        """Number of samples by split and class or label; with values, of ``samples``."""
        return {split: count(self.table, rows) for split, rows in self.indices.items()}

    def evaluate_on(self, split: str) -> None:
        """Choose the split that `test_dataloader` serves, without augmentation and in the table's order."""
        if split not in SPLITS:
            raise DataError(f"Expected a split but got '{split}'.{nearest(split, SPLITS)}")
        self.tested = split

    def start_at(self, epoch: int, batch: int) -> None:
        """Make training begin at a batch of an epoch, as if the earlier ones had been served."""
        self._start = (epoch, batch)

    def serve(self, kept: Callable[[str], CachedSamples | None], decoded: Callable[[Any], Decoded | None]) -> None:
        """Serve what is ``kept`` of a split's samples, and images as ``decoded``; call it before the loaders."""
        self._kept, self._decoded = kept, decoded

    def count_by(self, counts: Counts) -> None:
        """Let training batches carry the totals of their optimizer step; call it before the loaders."""
        self._counts = counts

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to the device, but for its ``meta``."""
        stays = {name: batch[name] for name in ("meta", "totals") if name in batch}
        moves = {name: part for name, part in batch.items() if name not in stays}
        return {**super().transfer_batch_to_device(moves, device, dataloader_idx), **stays}

    def augmentation(self) -> Augmentation | None:
        """What is done to training samples, other things in every epoch; ``None`` for nothing."""
        return None

    @property
    def uncacheable_reason(self) -> str | None:
        """Why nothing of what frozen stages give may be kept, as a sentence; ``None`` where it may."""
        return None

    def decoders(self, split: str) -> Any:
        """How the files of a split are decoded, for `serve`; ``None`` where there is nothing to decode."""
        return None

    def largest(self, rows: Ints, count: int) -> Ints:
        """As many of some rows of the table as are asked for, those that take most memory."""
        return rows[:count]

    def heaviest(self, count: int) -> dict[str, Any]:
        """A training batch of the samples that take most memory, as evaluation prepares them."""
        dataset = self.plain(self.largest(self.indices["train"], count))
        return dataset.collate([dataset[position] for position in range(len(dataset))])

    def length_sorted(self, rows: Ints, batch: int) -> Ints:
        """Rows of the table in the order in which they are best computed, so many at a time."""
        return rows

    def predict_on(self, samples: Sequence[Any], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve samples with the spec of a training run, whose data may be gone.

        A batch's ``index`` is the position in ``samples``, its ``target`` is -1.
        """
        if not samples:
            raise DataError("Expected at least one image or text to predict on but got none.")
        self._predicted, self.spec = list(samples), spec

    def train_dataloader(self) -> Loader:
        """Batches of train: shuffled, and augmented where that is asked for."""
        if self.drop_last:
            check_full_batch(len(self.indices["train"]), self.batch_size, self.table.what)
        return self._loader("train", training=True)

    def val_dataloader(self) -> Loader | list[Any]:
        """Batches of val, in the table's order; an empty list where there is no such split."""
        return self._loader("val") if "val" in self.indices else []

    def test_dataloader(self) -> Loader | list[Any]:
        """Batches of the split chosen by `evaluate_on`, by default test; an empty list without a test split."""
        if self.tested == "test" and "test" not in self.indices:
            return []
        if self.tested not in self.indices:
            raise DataError(
                f"Expected a split with {self.table.what} but got '{self.tested}'.{nearest(self.tested, self.indices)}"
            )
        return self._loader(self.tested, tested=True)

    def predict_dataloader(self) -> Loader:
        """Batches of what was given to `predict_on`, prepared as in evaluation."""
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
        """Lengths by which training samples are put into batches of their like; ``None`` for any with any."""
        return None

    def _streams(self, training: bool) -> dict[str, Stream]:
        """Return what else training goes through, by name."""
        return {}

    def _processes(self) -> int:
        return self.trainer.num_devices if self.trainer is not None else 1
