"""What happens to a batch of decoded images behind the loader: augmented, normalised, mixed, seen in several views.

All of it on the device, a batch at a time, and the same on every device: each sample's random numbers are drawn on the
CPU, from a seed that the dataset has put beside the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tunesmith.contract.batch import Batch
from tunesmith.contract.spec import DataSpec
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.inputs import Views, normalise, views
from tunesmith.data.image.mixing import Mixing
from tunesmith.modality.image import ImagePreprocess


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Put samples into a batch; images that differ in size, which are still to be cropped, stay a list."""
    images = [sample["input"] for sample in samples]
    rest = [{name: value for name, value in sample.items() if name not in ("input", "meta")} for sample in samples]
    batch: dict[str, Any] = torch.utils.data.default_collate(rest)
    if "meta" in samples[0]:
        batch["meta"] = {name: [sample["meta"][name] for sample in samples] for name in samples[0]["meta"]}
    same = isinstance(images[0], Mapping) or len({image.shape for image in images}) == 1
    return {"input": torch.utils.data.default_collate(images) if same else images, **batch}


@dataclass(frozen=True)
class BatchTransform:
    """The way of a batch from the loader to the backbone.

    Attributes:
        mixing: Which mixtures there are in training.
        views: Views of each image in test and prediction.
        seed: Of the mixtures.
    """

    mixing: Mixing
    views: Views
    seed: int

    def prepare(self, batch: dict[str, Any], trainer: Any) -> dict[str, Any]:
        """Add what the mixtures of a batch are drawn from, while its index is still on the CPU."""
        if trainer is not None and trainer.training and self.mixing.applies(trainer.current_epoch, trainer.max_epochs):
            batch["mix"] = self.mixing.seed(self.seed, trainer.current_epoch, batch["index"].tolist())
        return batch

    def __call__(
        self,
        batch: dict[str, Any],
        preprocess: ImagePreprocess,
        augmentation: Augmentation | None,
        spec: DataSpec,
        trainer: Any,
    ) -> Batch:
        """Make the float input of uint8 ``(B, C, H, W)``, or of B tensors ``(C, H, W)``, on their device.

        It is ``(B, 3, H, W)``, augmented and mixed in training where that is asked for; in test and prediction it is
        ``(B · V, 3, H, W)`` where there are V views of each. Activations stay as the backbone left them.
        """
        if isinstance(batch["input"], Mapping):
            return batch  # type: ignore[return-value]  # as it came out of the dataset
        shown: Tensor = batch["input"]
        if augmentation is not None:
            shown = augmentation(shown, batch["meta"]["draw"])
        images = normalise(shown, preprocess)
        done = Batch(input=images, target=batch["target"], index=batch["index"])
        if "weight" in batch:
            done["weight"] = batch["weight"]
        if "totals" in batch:
            done["totals"] = batch["totals"]
        if "mix" in batch:
            done = self.mixing(done, batch["mix"], len(spec.class_names))
        if trainer is not None:
            if self.views != "none" and (trainer.testing or trainer.predicting):
                seen = views(images, self.views, preprocess.size)
                done["input"], done["views"] = seen.flatten(0, 1), seen.shape[1]
            # Half precision wants half inputs.
            done["input"] = trainer.precision_plugin.convert_input(done["input"])
        return done
