"""Collate decoded images; augment, normalise and mix their batch on the device, and lay out several views.

Results are the same on every device: each sample's random numbers are drawn on the CPU, from a seed that the dataset
stores beside the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, cast

from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import default_collate
from typing_extensions import NotRequired

from tunesmith.contract.batch import Activations, Batch
from tunesmith.contract.spec import DataSpec
from tunesmith.contract.tree import Tree
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.inputs import Views, normalise, views
from tunesmith.data.image.mixing import Mixing
from tunesmith.modality.image import ImagePreprocess

if TYPE_CHECKING:
    from tunesmith.data.dataset import Sample


class LoadedBatch(TypedDict):
    """A batch of images from the loader; see `Batch` for what both have.

    Attributes:
        input: Decoded images, uint8 ``(B, C, H, W)``, or B of ``(C, H, W)`` that differ in size; or activations.
        mix: Seed of the batch's mixtures; missing if it is not mixed.
    """

    input: Tensor | list[Tensor] | Activations
    target: Tree
    index: Tensor
    weight: NotRequired[Tensor]
    meta: NotRequired[Mapping[str, Sequence[Any]]]
    mix: NotRequired[int]


def collate(samples: list[Sample]) -> LoadedBatch:
    """Collate samples; images that differ in size, which will be cropped, stay a list."""
    images = [sample["input"] for sample in samples]
    tensors = [image for image in images if isinstance(image, Tensor)]
    batch: LoadedBatch = {
        "input": tensors if len({image.shape for image in tensors}) > 1 else default_collate(images),
        "target": default_collate([sample["target"] for sample in samples]),
        "index": default_collate([sample["index"] for sample in samples]),
    }
    if "weight" in samples[0]:
        batch["weight"] = default_collate([sample["weight"] for sample in samples])
    if "meta" in samples[0]:
        batch["meta"] = {name: [sample["meta"][name] for sample in samples] for name in samples[0]["meta"]}
    return batch


@dataclass(frozen=True)
class BatchTransform:
    """Prepares a batch from the loader for the backbone.

    Attributes:
        mixing: Mixtures in training.
        views: Views of each image in test and prediction.
        seed: Seed of the mixtures.
    """

    mixing: Mixing
    views: Views
    seed: int

    def prepare(self, batch: LoadedBatch, trainer: Trainer | None) -> LoadedBatch:
        """Add the seed of a batch's mixtures, while its index is still on the CPU."""
        if trainer is not None and trainer.training and self.mixing.applies(trainer.current_epoch, trainer.max_epochs):
            batch["mix"] = self.mixing.seed(self.seed, trainer.current_epoch, batch["index"].tolist())
        return batch

    def __call__(
        self,
        batch: LoadedBatch,
        preprocess: ImagePreprocess,
        augmentation: Augmentation | None,
        spec: DataSpec,
        trainer: Trainer | None,
    ) -> Batch:
        """Make the float input ``(B, 3, H, W)`` from uint8 images on their device, augmented and mixed if configured.

        With V views in test and prediction it is ``(B · V, 3, H, W)``. Activations stay unchanged.
        """
        shown = batch["input"]
        if isinstance(shown, Mapping):
            return cast(Batch, batch)
        if augmentation is not None:
            shown = augmentation(shown, batch["meta"]["draw"])
        assert isinstance(shown, Tensor)  # only images that an augmentation crops differ in size
        images = normalise(shown, preprocess)
        done = cast(Batch, {name: part for name, part in batch.items() if name != "mix"} | {"input": images})
        if "mix" in batch:
            done = self.mixing(done, batch["mix"], len(spec.class_names))
        if trainer is not None:
            if self.views != "none" and (trainer.testing or trainer.predicting):
                seen = views(images, self.views, preprocess.size)
                done["input"], done["views"] = seen.flatten(0, 1), seen.shape[1]
            # Half precision needs half inputs.
            done["input"] = trainer.precision_plugin.convert_input(done["input"])
        return done
