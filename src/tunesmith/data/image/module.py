"""Define the data module that every source of images derives from; a source only supplies the table."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import Batch
from tunesmith.contract.plain import PlainData
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.spec import DataSpec
from tunesmith.data.arguments import DataArguments
from tunesmith.data.dataset import CachedSamples, Decoded, ImageDataset
from tunesmith.data.image.augment import Augment, Augmentation
from tunesmith.data.image.bad_files import BadFiles, leave_out, unreadable
from tunesmith.data.image.batch_transform import BatchTransform, LoadedBatch
from tunesmith.data.image.decode import MARGIN, Decode, channels_for
from tunesmith.data.image.found import find_files
from tunesmith.data.image.inputs import Views, normalise
from tunesmith.data.image.mixing import Mixing
from tunesmith.data.loader import fits
from tunesmith.data.module import TableData
from tunesmith.data.table import Images, Ints, Table
from tunesmith.modality.image import MODALITY, ImagePreprocess


class ImageData(TableData, ABC):
    """Images with targets: reads, splits, decodes, augments and batches them.

    Batches travel to the device as uint8, with one channel for grey images: 4 to 12 times less than as floats.

    Args:
        augment: Preset of augmentation in training: a random one, see `augment.augmentation`; or, not random,
            ``flips_in_turn`` (2 views) or ``symmetries_in_turn`` (8), which show another view of each image per epoch.
        magnitude: Strength of the preset ``randaugment``, 0 to 30.
        erase: Probability that a rectangle of a training image is erased.
        mixup: Strength of mixup in training, such as 0.2; 0 for none.
        cutmix: Strength of CutMix in training, such as 1; 0 for none. With both, each batch draws one of them.
        mix_off_epochs: Epochs at the end of training without mixup and CutMix.
        test_views: Views of each image in test and prediction, whose predictions are averaged; see `inputs.views`.
            Validation sees each image once.
        on_bad_file: Reaction to an image that cannot be read: ``error`` stops at the first; ``skip`` decodes every file
            once before splitting, and skips those that fail.
        in_memory: Whether images outside the cache are decoded once and kept in memory; ``auto``: if they take less
            than a quarter of the free memory.
        **common: Arguments of `TableData`.
    """

    preprocess: ImagePreprocess
    table: Table[Images]
    _predicted: Sequence[Path] | None
    modality = MODALITY.name

    split_dataset: ClassVar[type[ImageDataset]] = ImageDataset
    """Dataset of a split; sources whose targets follow the image, such as masks, have their own."""

    def __init__(
        self,
        *,
        augment: Literal[
            "none", "light", "rotations", "slight", "auto", "randaugment", "flips_in_turn", "symmetries_in_turn"
        ] = "light",
        magnitude: int = 9,
        erase: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        mix_off_epochs: int = 0,
        test_views: Literal["none", "flips", "symmetries", "five_crops"] = "none",
        on_bad_file: Literal["error", "skip"] = "error",
        in_memory: bool | Literal["auto"] = "auto",
        **common: Unpack[DataArguments],
    ) -> None:
        super().__init__(**common)
        self.augment = Augment(augment, magnitude, erase)
        self.mixing = Mixing(mixup, cutmix, mix_off_epochs)
        self.finish = BatchTransform(self.mixing, test_views, self.seed)
        self.test_views: Views = test_views
        self.on_bad_file = on_bad_file
        self.in_memory = in_memory
        self.preprocess = ImagePreprocess()
        self._datasets: dict[tuple[str, bool, Decode], ImageDataset] = {}

    def connect(self, preprocess: Preprocess) -> None:
        """Take over the backbone's preprocessing; call it before the loaders."""
        self.preprocess = MODALITY.own(preprocess)
        self._datasets.clear()

    def find(self, source: str, trained: PlainData, spec: DataSpec, skip: bool) -> Asked:
        """Find files, and decode each once, so that damaged ones are known before the model runs.

        See `TableData.find`, and `found.find_files` for ``source``.
        """
        everything = find_files(source, trained, skip)
        decoder = Decode(self.preprocess.size, channels_for(self.preprocess, spec), self.preprocess.interpolation)
        bad = unreadable(everything, decoder, skip)
        files = [file for i, file in enumerate(everything) if i not in bad]
        skipped = {i: (str(everything[i]), why) for i, why in bad.items()}
        return Asked(files, list(map(str, files)), MODALITY.column, skipped)

    def usable(self, table: Table) -> tuple[Table, BadFiles]:
        """Return the table without the files that cannot be decoded, if they are to be skipped."""
        if self.on_bad_file == "error":
            return table, []
        channels: Literal[1, 3] = 1 if table.channels == 1 else 3
        return leave_out(table, Decode(self.preprocess.size, channels, self.preprocess.interpolation))

    def serve(self, kept: Callable[[str], CachedSamples | None], decoded: Callable[[Decode], Decoded | None]) -> None:
        """Serve images from caches; see `TableData.serve`."""
        super().serve(kept, decoded)
        self._datasets.clear()

    def augmentation(self) -> Augmentation | None:
        """Return the augmentation of training images; ``None`` for none."""
        return self.augment.build(self.preprocess, self._channels())

    def decoder(self, training: bool = False, tested: bool = False) -> Decode:
        """Return the decoder, which decodes larger if a crop follows."""
        size, margin = self.preprocess.size, training and self.augment.margin
        if tested and self.test_views == "five_crops":
            size = round(size * MARGIN)
        return Decode(size, self._channels(), self.preprocess.interpolation, margin)

    def decoders(self, split: str) -> Decode | None:
        """Return the decoder of a split's files; ``None`` if the images are arrays."""
        if isinstance(self.table.samples, np.ndarray):
            return None
        return self.decoder(training=split == "train", tested=split == "test")

    def plain(self, rows: Ints) -> ImageDataset:
        """Return rows of the table as in evaluation, decoded on access."""
        return self.split_dataset(self.table.samples, self.table.targets, rows, self.decoder())

    def prepare(self, samples: Sequence[Tensor], device: torch.device, alike: bool = False) -> Tensor:
        """Normalise uint8 images ``(C, H, W)`` to ``(B, 3, H, W)``."""
        return normalise(torch.stack(list(samples)).to(device), self.preprocess)

    def training_images(self) -> ImageDataset:
        """Return the dataset of train, not yet augmented."""
        return self._dataset("train", training=True, tested=False)

    def predict_on(self, samples: Sequence[Path], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve files; see `TableData.predict_on`."""
        super().predict_on(samples, spec)
        self._datasets = {key: dataset for key, dataset in self._datasets.items() if key[0] != "predict"}

    def on_before_batch_transfer(self, batch: LoadedBatch, dataloader_idx: int) -> LoadedBatch:
        """Seed the mixtures of a batch; see `BatchTransform.prepare`."""
        return self.finish.prepare(batch, self.trainer)

    def on_after_batch_transfer(self, batch: LoadedBatch, dataloader_idx: int) -> Batch:
        """Prepare a batch for the backbone, on the device; see `BatchTransform`."""
        augmentation = self.augmentation() if "draw" in batch.get("meta", {}) else None
        return self.finish(batch, self.preprocess, augmentation, self.spec, self.trainer)

    def _dataset(self, split: str, training: bool, tested: bool) -> ImageDataset:
        """Return the dataset of a split, made once, since it may hold decoded images."""
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
        # The cache of train holds what training sees; views of a test are not cached.
        if training == (split == "train") and not (tested and self.test_views != "none"):
            dataset.kept = self._kept(split)
        dataset.decoded = self._decoded(decoder)
        if dataset.decodes and fits(dataset, self.in_memory, self._processes()):
            dataset.remember(f"Decoding {split} images")
        return self._datasets.setdefault(key, dataset)

    def _channels(self) -> Literal[1, 3]:
        return channels_for(self.preprocess, self.spec)
