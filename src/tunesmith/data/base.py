"""The data module that every source of pictures derives from: it supplies a table, and this does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from tunesmith.contracts import Batch, DataSpec, Preprocess
from tunesmith.data.augment import Augment, Augmentation
from tunesmith.data.bad_files import BadFiles, leave_out
from tunesmith.data.dataset import Decoded, Kept, PictureDataset
from tunesmith.data.decode import MARGIN, Front, channels_for
from tunesmith.data.fingerprint import digest_all, fingerprint, shared
from tunesmith.data.finish import Finish
from tunesmith.data.inputs import Views
from tunesmith.data.loader import Loader, fits, make_loader
from tunesmith.data.mixing import Mixing
from tunesmith.data.publish import count, publish, warn_of_contradictions, warn_of_duplicates, warn_of_gaps
from tunesmith.data.randomness import private
from tunesmith.data.sampler import EpochSampler
from tunesmith.data.split import Split
from tunesmith.data.table import SPLITS, Ints, Table
from tunesmith.errors import DataError, nearest


class PictureData(LightningDataModule, ABC):
    """Pictures and what is to be said of them: reads, splits, decodes, augments and batches them.

    A run calls `connect`, `setup` and then the loaders. Batches travel to the device as uint8, one channel where the
    pictures are grey, which is 4 to 12 times less than what they become there.

    Args:
        split: How to split.
        augment: Preset of augmentation in training: random ones, see `augment.augmentation`; or, without chance,
            ``flips_in_turn`` (2 views) and ``symmetries_in_turn`` (8): epoch after epoch another view of each picture.
        magnitude: Strength of the preset ``randaugment``, 0 to 30.
        erase: Probability that a rectangle of a training picture is erased.
        mixup: Strength of mixup in training, such as 0.2; 0 for none.
        cutmix: Strength of CutMix in training, such as 1; 0 for none. With both, each batch draws one of them.
        mix_off_epochs: Epochs at the end of training without mixup and CutMix.
        sampler: Order of training: ``shuffled``, or ``balanced``: every epoch has equally many samples of each class.
        test_views: Views of each picture in test and prediction, whose predictions are averaged; see `inputs.views`.
            Validation, which comes after every epoch, sees each picture once.
        on_bad_file: What to do about a picture that cannot be read: stop with an ``error`` where it is met, or ``skip``
            it: every file is decoded once before splitting, and those that cannot be are left out.
        batch_size: Samples a step and process. Measured on a shared CPU, EfficientNet-Lite0 at 224 px, fp32,
            channels_last: 15.4 / 12.4 / 9.1 images per core second with 16 / 32 / 64; the recipes were tuned at 32.
        workers: Loader processes; ``auto``: 0 where pictures are kept decoded, else the cores but one, at most 8.
        worker_timeout: Seconds without a batch after which loader processes count as hanging; 0 to wait for ever.
        pin_memory: Whether batches are put into page-locked memory; ``auto`` where there is a CUDA device.
        in_memory: Whether pictures that are not in the cache are decoded once and kept in memory; ``auto`` where they
            take under a quarter of what is free.
        seed: Of the order of batches and of augmentation; the run's seed.
        drop_last: Whether a last training batch that is not full is left out.

    Attributes:
        table: All pictures; after `setup`.
        indices: Rows of the table that each split holds; after `setup`.
        digests: Of each picture's content, in the table's order, and whether they are over whole files; after `setup`.
        bad_files: Name of each picture that was left out, and why; after `setup`.
        duplicates: Pairs of rows with the same content in different splits; after `setup`.
        spec: What the data are; after `setup` or `predict_on`.
    """

    table: Table
    indices: dict[str, Ints]
    digests: tuple[list[bytes], bool]
    bad_files: BadFiles
    duplicates: list[tuple[int, int]]
    spec: DataSpec

    def __init__(
        self,
        *,
        split: Split,
        augment: Literal[
            "none", "light", "rotations", "slight", "auto", "randaugment", "flips_in_turn", "symmetries_in_turn"
        ] = "light",
        magnitude: int = 9,
        erase: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        mix_off_epochs: int = 0,
        sampler: Literal["shuffled", "balanced"] = "shuffled",
        test_views: Literal["none", "flips", "symmetries", "five_crops"] = "none",
        on_bad_file: Literal["error", "skip"] = "error",
        batch_size: int = 32,
        workers: int | Literal["auto"] = "auto",
        worker_timeout: float = 600.0,
        pin_memory: bool | Literal["auto"] = "auto",
        in_memory: bool | Literal["auto"] = "auto",
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("worker_timeout", worker_timeout, 0)):
            if value < least:
                raise DataError(f"Expected {name} to be at least {least} but got {value}.")
        self.split = split
        self.augment = Augment(augment, magnitude, erase)
        self.mixing = Mixing(mixup, cutmix, mix_off_epochs)
        self.finish = Finish(self.mixing, test_views, seed)
        self.balanced = sampler == "balanced"
        self.test_views: Views = test_views
        self.on_bad_file = on_bad_file
        self.batch_size = batch_size
        self.workers, self.worker_timeout = workers, worker_timeout
        self.pin_memory = torch.cuda.is_available() if pin_memory == "auto" else pin_memory
        self.in_memory = in_memory
        self.seed = seed
        self.drop_last = drop_last
        self.preprocess = Preprocess()
        self.tested = "test"
        self._start = (0, 0)
        self._kept: Callable[[str], Kept | None] = lambda split: None
        self._decoded: Callable[[Front], Decoded | None] = lambda front: None
        self._files: Sequence[Path] | None = None
        self._datasets: dict[tuple[str, bool, Front], PictureDataset] = {}

    @abstractmethod
    def load(self) -> Table:
        """Read what there is, without decoding it."""

    def connect(self, preprocess: Preprocess) -> None:
        """Take over how the backbone wants its pictures; call it before the loaders."""
        self.preprocess = preprocess
        self._datasets.clear()

    def setup(self, stage: str | None = None) -> None:
        """Load, split and publish `spec`; a second call does nothing, nor does one for the files of `predict_on`.

        Raises:
            DataError: The data are missing, or cannot be split as asked.
        """
        if hasattr(self, "table") or (stage == "predict" and self._files is not None):
            return
        table, self.bad_files = self.load(), []
        if self.on_bad_file == "skip":
            front = Front(self.preprocess.size, table.channels, self.preprocess.interpolation)
            table, self.bad_files = leave_out(table, front)
        self.indices = self.split(table)
        self.digests = digests, whole = digest_all(table.pictures)
        self.duplicates = shared(digests, self.indices)
        warn_of_duplicates(table, self.duplicates)
        warn_of_contradictions(table, digests)
        self.spec = publish(table, self.indices, fingerprint(table, digests, whole), self.split.unit(table))
        warn_of_gaps(table, self.indices)
        self.mixing.check(self.spec)
        if self.balanced and not table.classes:
            raise DataError(f"Expected data.sampler=shuffled where the targets are no classes but {table.kind}.")
        self.table = table

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of pictures by split and class or label; with values, of ``samples``."""
        return {split: count(self.table, rows) for split, rows in self.indices.items()}

    def evaluate_on(self, split: str) -> None:
        """Choose the split that `test_dataloader` serves, without augmentation and in the table's order."""
        if split not in SPLITS:
            raise DataError(f"Expected a split but got '{split}'.{nearest(split, SPLITS)}")
        self.tested = split

    def start_at(self, epoch: int, batch: int) -> None:
        """Make training begin at a batch of an epoch, as if the earlier ones had been served."""
        self._start = (epoch, batch)

    def serve(self, kept: Callable[[str], Kept | None], decoded: Callable[[Front], Decoded | None]) -> None:
        """Let batches hold what is kept of their pictures; call it before the loaders.

        Args:
            kept: What stands in place of the pictures of a split.
            decoded: Decoded pictures, by how they are decoded.
        """
        self._kept, self._decoded = kept, decoded
        self._datasets.clear()

    def augmentation(self) -> Augmentation | None:
        """What is done to training pictures, other things in every epoch; ``None`` for nothing."""
        return self.augment.build(self.preprocess, self._channels())

    def front(self, training: bool = False, tested: bool = False) -> Front:
        """How pictures are decoded: larger where a crop follows."""
        size, margin = self.preprocess.size, training and self.augment.margin
        if tested and self.test_views == "five_crops":
            size = round(size * MARGIN)
        return Front(size, self._channels(), self.preprocess.interpolation, margin)

    def pictures(self, rows: Ints) -> PictureDataset:
        """Rows of the table as in evaluation, decoded when they are asked for."""
        return PictureDataset(self.table.pictures, self.table.targets, rows, self.front())

    def training_pictures(self) -> PictureDataset:
        """Train as in training, still to be augmented."""
        return self._dataset("train", training=True, tested=False)

    def predict_on(self, files: Sequence[Path], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve files; the data that were trained on may be gone.

        Args:
            files: Pictures; a batch's ``index`` is the position here, its ``target`` is -1.
            spec: Of the training run.
        """
        if not files:
            raise DataError("Expected at least one picture to predict on but got none.")
        self._files, self.spec = list(files), spec
        self._datasets = {key: dataset for key, dataset in self._datasets.items() if key[0] != "predict"}

    def train_dataloader(self) -> Loader:
        """Batches of train: shuffled and augmented."""
        if self.drop_last and len(self.indices["train"]) < self.batch_size:
            raise DataError(
                f"Expected at least one full batch of {self.batch_size} but train holds {len(self.indices['train'])} "
                "pictures; use data.drop_last=false or a smaller data.batch_size."
            )
        return self._loader("train", training=True)

    def val_dataloader(self) -> Loader | list[Any]:
        """Batches of val, in the table's order; an empty list where there is no such split."""
        return self._loader("val") if "val" in self.indices else []

    def test_dataloader(self) -> Loader | list[Any]:
        """Batches of the split chosen by `evaluate_on`, test by default; an empty list where there is no test split."""
        if self.tested == "test" and "test" not in self.indices:
            return []
        if self.tested not in self.indices:
            raise DataError(
                f"Expected a split with pictures but got '{self.tested}'.{nearest(self.tested, self.indices)}"
            )
        return self._loader(self.tested, tested=True)

    def predict_dataloader(self) -> Loader:
        """Batches of the files given to `predict_on`, prepared as in evaluation."""
        if self._files is None:
            raise DataError("Expected files to predict on but got none; call predict_on first.")
        return self._loader("predict", tested=True)

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Take out what stays on the CPU."""
        return self.finish.prepare(batch, self.trainer)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Make what the backbone takes, on the device, once a batch; see `Finish`."""
        augmentation = self.augmentation() if "draw" in batch else None
        return self.finish(batch, self.preprocess, augmentation, self.spec, self.trainer)

    def _loader(self, split: str, training: bool = False, tested: bool = False) -> Loader:
        dataset = self._dataset(split, training, tested)
        # Lightning makes the loader of a resumed run before it knows the epoch.
        first, batch = self._start
        epoch = max(first, self.trainer.current_epoch if self.trainer is not None else 0)
        skip = batch * self.batch_size if training and epoch == first else 0
        classes = torch.from_numpy(self.table.targets[dataset.rows]) if training and self.balanced else None
        return make_loader(
            dataset,
            EpochSampler(len(dataset), self.seed, training, epoch, skip, classes),
            batch_size=self.batch_size,
            workers=self.workers,
            timeout=self.worker_timeout,
            processes=self._processes(),
            pin_memory=self.pin_memory,
            drop_last=training and self.drop_last,
            generator=private("loader", self.seed, split),
        )

    def _dataset(self, split: str, training: bool, tested: bool) -> PictureDataset:
        """The dataset of a split, made once: it may hold decoded pictures."""
        front = self.front(training, tested)
        key = (split, training, front)
        if key in self._datasets:
            return self._datasets[key]
        if split == "predict":
            files = self._files or ()
            made = PictureDataset(files, np.full(len(files), -1), np.arange(len(files)), front)
            return self._datasets.setdefault(key, made)
        rows, table = self.indices[split], self.table
        augmentation = self.augmentation() if training else None
        dataset = PictureDataset(table.pictures, table.targets, rows, front, augmentation, self.seed, table.weights)
        # What is kept of train is what training sees, and nobody keeps views of a test.
        if training == (split == "train") and not (tested and self.test_views != "none"):
            dataset.kept = self._kept(split)
        dataset.decoded = self._decoded(front)
        if dataset.decodes and fits(dataset, self.in_memory, self._processes()):
            dataset.remember(f"Decoding {split} pictures")
        return self._datasets.setdefault(key, dataset)

    def _processes(self) -> int:
        return self.trainer.num_devices if self.trainer is not None else 1

    def _channels(self) -> Literal[1, 3]:
        return channels_for(self.preprocess, self.spec)
