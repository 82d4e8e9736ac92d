"""The data module that every source of images derives from: it supplies a table, and this does the rest."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import Batch
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.spec import DataSpec
from tunesmith.data.dataset import CachedSamples, Decoded, ImageDataset
from tunesmith.data.image.augment import Augment, Augmentation
from tunesmith.data.image.bad_files import BadFiles, leave_out, unreadable
from tunesmith.data.image.batch_transform import BatchTransform
from tunesmith.data.image.decode import MARGIN, Decode, channels_for
from tunesmith.data.image.found import find_files
from tunesmith.data.image.inputs import Views, normalise
from tunesmith.data.image.mixing import Mixing
from tunesmith.data.loader import fits
from tunesmith.data.module import TableData
from tunesmith.data.split.split import Split
from tunesmith.data.table import Ints, Table
from tunesmith.modality.image import MODALITY, ImagePreprocess


class ImageData(TableData, ABC):
    """Images and what is to be said of them: reads, splits, decodes, augments and batches them.

    A run calls `connect`, `setup` and then the loaders. Batches travel to the device as uint8, one channel where the
    images are grey, which is 4 to 12 times less than what they become there.

    Args:
        split: How to split.
        augment: Preset of augmentation in training: random ones, see `augment.augmentation`; or, without chance,
            ``flips_in_turn`` (2 views) and ``symmetries_in_turn`` (8): epoch after epoch another view of each image.
        magnitude: Strength of the preset ``randaugment``, 0 to 30.
        erase: Probability that a rectangle of a training image is erased.
        mixup: Strength of mixup in training, such as 0.2; 0 for none.
        cutmix: Strength of CutMix in training, such as 1; 0 for none. With both, each batch draws one of them.
        mix_off_epochs: Epochs at the end of training without mixup and CutMix.
        sampler: Order of training: ``shuffled``, or ``balanced``: every epoch has equally many samples of each class.
        test_views: Views of each image in test and prediction, whose predictions are averaged; see `inputs.views`.
            Validation, which comes after every epoch, sees each image once.
        on_bad_file: What to do about an image that cannot be read: stop with an ``error`` where it is met, or ``skip``
            it: every file is decoded once before splitting, and those that cannot be are left out.
        batch_size: Samples a step and process. Measured on a shared CPU, EfficientNet-Lite0 at 224 px, fp32,
            channels_last: 15.4 / 12.4 / 9.1 images per core second with 16 / 32 / 64; the recipes were tuned at 32.
        workers: Loader processes; ``auto``: 0 where images are kept decoded, else the cores but one, at most 8.
        worker_timeout: Seconds without a batch after which loader processes count as hanging; 0 to wait for ever.
        pin_memory: Whether batches are put into page-locked memory; ``auto`` where there is a CUDA device.
        in_memory: Whether images that are not in the cache are decoded once and kept in memory; ``auto`` where they
            take under a quarter of what is free.
        seed: Of the order of batches and of augmentation; the run's seed.
        drop_last: Whether a last training batch that is not full is left out.
    """

    preprocess: ImagePreprocess
    modality = MODALITY.name

    split_dataset: ClassVar[type[ImageDataset]] = ImageDataset
    """What serves a split; sources whose targets follow the image, such as masks, have one of their own."""

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
        super().__init__(
            split=split,
            sampler=sampler,
            batch_size=batch_size,
            workers=workers,
            worker_timeout=worker_timeout,
            pin_memory=pin_memory,
            seed=seed,
            drop_last=drop_last,
        )
        self.augment = Augment(augment, magnitude, erase)
        self.mixing = Mixing(mixup, cutmix, mix_off_epochs)
        self.finish = BatchTransform(self.mixing, test_views, seed)
        self.test_views: Views = test_views
        self.on_bad_file = on_bad_file
        self.in_memory = in_memory
        self.preprocess = ImagePreprocess()
        self._datasets: dict[tuple[str, bool, Decode], ImageDataset] = {}

    def connect(self, preprocess: Preprocess) -> None:
        """Take over how the backbone wants its images; call it before the loaders."""
        self.preprocess = MODALITY.own(preprocess)
        self._datasets.clear()

    def find(self, source: str, trained: Mapping[str, Any], spec: DataSpec, skip: bool) -> Asked:
        """Find files, and decode each once: before the model runs, so that nothing is lost by those that are damaged.

        See `TableData.find`, and `found.find_files` for what ``source`` may be.
        """
        everything = find_files(source, trained, skip)
        decoder = Decode(self.preprocess.size, channels_for(self.preprocess, spec), self.preprocess.interpolation)
        bad = unreadable(everything, decoder, skip)
        files = [file for i, file in enumerate(everything) if i not in bad]
        skipped = {i: (str(everything[i]), why) for i, why in bad.items()}
        return Asked(files, list(map(str, files)), MODALITY.column, skipped)

    def usable(self, table: Table) -> tuple[Table, BadFiles]:
        """The table without files that cannot be decoded, where they are to be skipped."""
        if self.on_bad_file == "error":
            return table, []
        channels: Literal[1, 3] = 1 if table.channels == 1 else 3
        return leave_out(table, Decode(self.preprocess.size, channels, self.preprocess.interpolation))

    def serve(self, kept: Callable[[str], CachedSamples | None], decoded: Callable[[Any], Decoded | None]) -> None:
        """Let batches hold what is kept of their images; call it before the loaders."""
        super().serve(kept, decoded)
        self._datasets.clear()

    def augmentation(self) -> Augmentation | None:
        """What is done to training images, other things in every epoch; ``None`` for nothing."""
        return self.augment.build(self.preprocess, self._channels())

    def decoder(self, training: bool = False, tested: bool = False) -> Decode:
        """How images are decoded: larger where a crop follows."""
        size, margin = self.preprocess.size, training and self.augment.margin
        if tested and self.test_views == "five_crops":
            size = round(size * MARGIN)
        return Decode(size, self._channels(), self.preprocess.interpolation, margin)

    def decoders(self, split: str) -> Decode | None:
        """How the files of a split are decoded; ``None`` where the images are no files."""
        if isinstance(self.table.samples, np.ndarray):
            return None
        return self.decoder(training=split == "train", tested=split == "test")

    def plain(self, rows: Ints) -> ImageDataset:
        """Rows of the table as in evaluation, decoded when they are asked for."""
        return self.split_dataset(self.table.samples, self.table.targets, rows, self.decoder())

    def prepare(self, samples: Sequence[Tensor], device: torch.device, alike: bool = False) -> Tensor:
        """Normalise uint8 images ``(C, H, W)`` to ``(B, 3, H, W)``."""
        return normalise(torch.stack(list(samples)).to(device), self.preprocess)

    def training_images(self) -> ImageDataset:
        """Train as in training, still to be augmented."""
        return self._dataset("train", training=True, tested=False)

    def predict_on(self, samples: Sequence[Any], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve files; see `TableData.predict_on`."""
        super().predict_on(samples, spec)
        self._datasets = {key: dataset for key, dataset in self._datasets.items() if key[0] != "predict"}

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Take out what stays on the CPU."""
        return self.finish.prepare(batch, self.trainer)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Make what the backbone takes, on the device, once a batch; see `BatchTransform`."""
        augmentation = self.augmentation() if "draw" in batch.get("meta", {}) else None
        return self.finish(batch, self.preprocess, augmentation, self.spec, self.trainer)

    def _dataset(self, split: str, training: bool, tested: bool) -> ImageDataset:
        """The dataset of a split, made once: it may hold decoded images."""
        decoder = self.decoder(training, tested)
        key = (split, training, decoder)
        if key in self._datasets:
            return self._datasets[key]
        if split == "predict":
            files = self._predicted or ()
            made = ImageDataset(files, np.full(len(files), -1), np.arange(len(files)), decoder)
            return self._datasets.setdefault(key, made)
        rows, table = self.indices[split], self.table
        augmentation = self.augmentation() if training else None
        dataset = self.split_dataset(
            table.samples, table.targets, rows, decoder, augmentation, self.seed, table.weights
        )
        # What is kept of train is what training sees, and nobody keeps views of a test.
        if training == (split == "train") and not (tested and self.test_views != "none"):
            dataset.kept = self._kept(split)
        dataset.decoded = self._decoded(decoder)
        if dataset.decodes and fits(dataset, self.in_memory, self._processes()):
            dataset.remember(f"Decoding {split} images")
        return self._datasets.setdefault(key, dataset)

    def _channels(self) -> Literal[1, 3]:
        return channels_for(self.preprocess, self.spec)
