"""The data module that every source of pictures derives from: it supplies a table, and this does the rest."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from tunesmith.contracts import Batch, DataSpec, Preprocess
from tunesmith.data.augment import Preset, augmentation, has_margin
from tunesmith.data.dataset import Kept, PictureDataset
from tunesmith.data.decode import Front
from tunesmith.data.fingerprint import digest_all, fingerprint, shared
from tunesmith.data.memory import available_bytes, cores
from tunesmith.data.randomness import private
from tunesmith.data.sampler import EpochSampler
from tunesmith.data.split import Split
from tunesmith.data.table import SPLITS, Ints, Table
from tunesmith.errors import DataError, nearest

log = logging.getLogger(__name__)

Loader = DataLoader[dict[str, Any]]


class PictureData(LightningDataModule, ABC):
    """Pictures with one class each: reads, splits, decodes, augments and batches them.

    A run calls `connect`, `setup` and then the loaders. Batches travel to the device as uint8, one channel where the
    pictures are grey, which is 4 to 12 times less than what they become there.

    Args:
        split: How to split.
        augment: Preset of random augmentation in training.
        batch_size: Samples a step and process. Measured on a shared CPU, EfficientNet-Lite0 at 224 px, fp32,
            channels_last: 15.4 / 12.4 / 9.1 images per core second with 16 / 32 / 64; the recipes were tuned at 32.
        workers: Loader processes; ``auto`` is 0 where the pictures are kept in memory, else one for each core but one,
            at most 8.
        pin_memory: Whether batches are put into page-locked memory; ``auto`` where there is a CUDA device.
        in_memory: Whether pictures are decoded once and kept; ``auto`` where they take less than a quarter of the
            memory that is free.
        seed: Of the order of batches and of augmentation; the run's seed.
        drop_last: Whether a last training batch that is not full is left out.

    Attributes:
        table: All pictures; after `setup`.
        indices: Rows of the table that each split holds; after `setup`.
        digests: Of each picture's content, in the table's order, and whether they are over whole files; after `setup`.
        duplicates: Pairs of rows with the same content in different splits; after `setup`.
        spec: What the data are; after `setup` or `predict_on`.
    """

    table: Table
    indices: dict[str, Ints]
    digests: tuple[list[bytes], bool]
    duplicates: list[tuple[int, int]]
    spec: DataSpec

    def __init__(
        self,
        *,
        split: Split,
        augment: Literal["none", "light", "rotations", "auto"] = "light",
        batch_size: int = 32,
        workers: int | Literal["auto"] = "auto",
        pin_memory: bool | Literal["auto"] = "auto",
        in_memory: bool | Literal["auto"] = "auto",
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise DataError(f"Expected batch_size to be at least 1 but got {batch_size}.")
        self.split = split
        self.augment: Preset = augment
        self.batch_size = batch_size
        self.workers = workers
        self.pin_memory = torch.cuda.is_available() if pin_memory == "auto" else pin_memory
        self.in_memory = in_memory
        self.seed = seed
        self.drop_last = drop_last
        self.preprocess = Preprocess()
        self.tested = "test"
        self._start = (0, 0)
        self._kept: Callable[[str], Kept | None] = lambda split: None
        self._files: Sequence[Path] | None = None
        self._datasets: dict[tuple[str, bool], PictureDataset] = {}

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
        table = self.load()
        self.indices = self.split(table)
        self.digests = digests, whole = digest_all(table.pictures)
        self.duplicates = shared(digests, self.indices)
        if self.duplicates:
            one, other = (table.names[row] for row in self.duplicates[0])
            log.warning(
                f"{len(self.duplicates)} pictures stand in two splits, such as {one} and {other}: "
                "their content is the same, so the test is easier than the world is."
            )
        train = table.targets[self.indices["train"]]
        self.spec = DataSpec(
            class_names=table.class_names,
            channels=table.channels,
            fingerprint=fingerprint(table, digests, whole),
            split_unit=self.split.unit(table),
            group=table.group_unit,
            train_counts=tuple(np.bincount(train, minlength=len(table.class_names)).tolist()),
            train_size=len(train),
        )
        self.table = table

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of pictures by split and class."""
        names = self.table.class_names
        sizes = {s: np.bincount(self.table.targets[rows], minlength=len(names)) for s, rows in self.indices.items()}
        return {s: dict(zip(names, n.tolist(), strict=True)) for s, n in sizes.items()}

    def evaluate_on(self, split: str) -> None:
        """Choose the split that `test_dataloader` serves, without augmentation and in the table's order."""
        if split not in SPLITS:
            raise DataError(f"Expected a split but got '{split}'.{nearest(split, SPLITS)}")
        self.tested = split

    def start_at(self, epoch: int, batch: int) -> None:
        """Make training begin at a batch of an epoch, as if the earlier ones had been served."""
        self._start = (epoch, batch)

    def serve(self, kept: Callable[[str], Kept | None]) -> None:
        """Let batches hold what is kept of the pictures of each split, in their place; call it before the loaders."""
        self._kept = kept
        self._datasets.clear()

    @property
    def augmented(self) -> bool:
        """Whether training pictures are others in every epoch."""
        return self.augment != "none"

    def pictures(self, rows: Ints) -> PictureDataset:
        """Rows of the table as in evaluation, decoded when they are asked for."""
        front = Front(self.preprocess.size, self._channels(), self.preprocess.interpolation)
        return PictureDataset(self.table.pictures, self.table.targets, rows, front)

    def training_pictures(self) -> PictureDataset:
        """Train as in training, augmented."""
        return self._dataset("train", training=True)

    def predict_on(self, files: Sequence[Path], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve files; the data that were trained on may be gone.

        Args:
            files: Pictures; a batch's ``index`` is the position here, its ``target`` is -1.
            spec: Of the training run.
        """
        if not files:
            raise DataError("Expected at least one picture to predict on but got none.")
        self._files, self.spec = list(files), spec
        self._datasets.pop(("predict", False), None)

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
        self._check_split(self.tested)
        return self._loader(self.tested)

    def predict_dataloader(self) -> Loader:
        """Batches of the files given to `predict_on`, prepared as in evaluation."""
        if self._files is None:
            raise DataError("Expected files to predict on but got none; call predict_on first.")
        return self._loader("predict")

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Make the float input ``(B, 3, H, W)`` of uint8 ``(B, C, H, W)``, on the device, once a batch."""
        if isinstance(batch["input"], Mapping):
            return batch  # type: ignore[return-value]  # activations, on the device and as the backbone left them
        done = Batch(input=normalise(batch["input"], self.preprocess), target=batch["target"], index=batch["index"])
        if self.trainer is not None:  # half precision wants half inputs
            done["input"] = self.trainer.precision_plugin.convert_input(done["input"])
        return done

    def _check_split(self, split: str) -> None:
        if split not in self.indices:
            raise DataError(f"Expected a split with pictures but got '{split}'.{nearest(split, self.indices)}")

    def _loader(self, split: str, training: bool = False) -> Loader:
        dataset = self._dataset(split, training)
        workers = self._auto_workers(dataset) if self.workers == "auto" else self.workers
        # Lightning makes the loader of a resumed run before it knows the epoch.
        first, batch = self._start
        epoch = max(first, self.trainer.current_epoch if self.trainer is not None else 0)
        skip = batch * self.batch_size if training and epoch == first else 0
        return DataLoader(
            dataset,
            batch_size=self.batch_size,  # by name, since Lightning makes the loader anew to predict
            sampler=EpochSampler(len(dataset), self.seed, shuffle=training, epoch=epoch, skip=skip),
            drop_last=training and self.drop_last,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.pin_memory,
            # `iter()` draws a number for the workers: from here, and not from the run's stream.
            generator=private("loader", self.seed, split),
        )

    def _dataset(self, split: str, training: bool) -> PictureDataset:
        """The dataset of a split, made once: it may hold decoded pictures."""
        if (split, training) in self._datasets:
            return self._datasets[split, training]
        margin = training and has_margin(self.augment)
        front = Front(self.preprocess.size, self._channels(), self.preprocess.interpolation, margin)
        if split == "predict":
            files = self._files or ()
            rows = np.arange(len(files))
            return self._datasets.setdefault(
                (split, training), PictureDataset(files, np.full(len(files), -1), rows, front)
            )
        rows = self.indices[split]
        random = augmentation(self.augment, self.preprocess.size) if training else None
        dataset = PictureDataset(self.table.pictures, self.table.targets, rows, front, random, self.seed)
        dataset.kept = self._kept(split)
        if self._needs_pictures(dataset) and self._fits(dataset):
            dataset.remember(f"Decoding {split} pictures")
        return self._datasets.setdefault((split, training), dataset)

    def _fits(self, dataset: PictureDataset) -> bool:
        if self.in_memory != "auto":
            return self.in_memory
        return len(dataset) * dataset.front.max_bytes * self._processes() < available_bytes() / 4

    @staticmethod
    def _needs_pictures(dataset: PictureDataset) -> bool:
        return dataset.kept is None or not dataset.kept.complete

    def _auto_workers(self, dataset: PictureDataset) -> int:
        # Measured with EfficientNet-Lite0, all layers, ELPV at 224 px, batches of 32, 2 cores: images per second, the
        # best of three, with 0 / 1 / 2 workers: 19.5 / 24.0 / 21.7 decoding each time, 24.6 / 22.4 / 17.7 from memory.
        if dataset.memory is not None or not self._needs_pictures(dataset):
            return 0
        return min(max(cores() // self._processes() - 1, 0), 8)

    def _processes(self) -> int:
        return self.trainer.num_devices if self.trainer is not None else 1

    def _channels(self) -> Literal[1, 3]:
        if self.preprocess.channels not in (self.spec.channels, 3):
            raise DataError(
                f"Expected pictures of {self.preprocess.channels} channel(s), as the backbone takes, "
                f"but got {self.spec.channels}; use data.channels={self.preprocess.channels}."
            )
        return 1 if self.spec.channels == 1 else 3


def normalise(pictures: Tensor, preprocess: Preprocess) -> Tensor:
    """Scale, centre and expand uint8 ``(B, C, H, W)``, C 1 or 3, to float ``(B, 3, H, W)``.

    One channel becomes three by broadcasting against the mean, without a copy in between.
    """
    mean = torch.tensor(preprocess.mean, device=pictures.device).view(-1, 1, 1) * 255
    std = torch.tensor(preprocess.std, device=pictures.device).view(-1, 1, 1) * 255
    # Converted first: arithmetic between uint8 and float tensors is 9 times slower (13.7 against 1.5 ms a batch of 32).
    return pictures.float().sub(mean).div_(std)
