"""Mix training batches by mixup or CutMix, so that every sample is a mixture of two.

Mixup: Zhang et al., 2017, https://arxiv.org/abs/1710.09412. CutMix: Yun et al., 2019, https://arxiv.org/abs/1905.04899.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torchvision.transforms import v2

from tunesmith.contract.batch import Batch
from tunesmith.contract.spec import DataSpec
from tunesmith.data.randomness import derive, preserved, seed_streams
from tunesmith.errors import DataError
from tunesmith.target.base import of


@dataclass(frozen=True)
class Mixing:
    """The configuration of mixtures.

    Attributes:
        mixup: Both parameters of the Beta distribution of an image's share; 0 for no mixup.
        cutmix: The same for the share of the area; 0 for no CutMix. With both, each batch draws one of them.
        off_epochs: Epochs at the end of training without mixtures, as in testing.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    off_epochs: int = 0

    def __post_init__(self) -> None:
        if self.mixup < 0 or self.cutmix < 0 or self.off_epochs < 0:
            raise DataError(
                "Expected data.mixup, data.cutmix and data.mix_off_epochs to be at least 0 "
                f"but got {self.mixup}, {self.cutmix} and {self.off_epochs}."
            )

    def check(self, spec: DataSpec) -> None:
        """Refuse a kind of target that cannot be mixed.

        Raises:
            DataError: Mixtures are configured, and targets cannot be mixed.
        """
        if self.wanted:
            of(spec.target).check_mixed()

    @property
    def wanted(self) -> bool:
        """Whether any batches are mixed."""
        return bool(self.mixup or self.cutmix)

    def applies(self, epoch: int, epochs: int | None) -> bool:
        """Return whether the batches of an epoch are mixed.

        Args:
            epoch: Index of the epoch, from 0.
            epochs: Number of epochs; ``None`` or -1 if only the number of steps is known, and `off_epochs` is ignored.
        """
        last = epochs is not None and epochs >= 0 and epoch >= epochs - self.off_epochs
        return self.wanted and not last

    def seed(self, seed: int, epoch: int, index: Sequence[int]) -> int:
        """Derive the seed of a batch from the run's seed, the epoch and the rows of its samples."""
        return derive("mix", seed, epoch, *index)

    def __call__(self, batch: Batch, seed: int, num_classes: int) -> Batch:
        """Mix every sample with the one before it, which is a random one, since batches are shuffled.

        Args:
            batch: Batch of float images ``(B, C, H, W)``.
            seed: Seed from `seed`; the global random streams stay unchanged.
            num_classes: Number of classes K; class indices become class probabilities ``(B, K)``.

        Returns:
            The mixed batch, with the same ``index``. Weights are mixed like images; a target's share is also
            proportional to its weight, so that a sample of weight 0 has none.
        """
        target = batch["target"]
        assert isinstance(target, torch.Tensor)
        if target.ndim == 1:
            target = torch.nn.functional.one_hot(target, num_classes)
        columns = target.float()
        if "weight" in batch:
            weight = batch["weight"][:, None]
            columns = torch.cat([columns, columns * weight, weight], dim=1)
        with preserved():
            seed_streams(seed)
            cut = bool(self.cutmix) and (not self.mixup or random.random() < 0.5)
            alpha = float(self.cutmix if cut else self.mixup)  # torch's Beta distribution refuses an integer
            mix = v2.CutMix(alpha=alpha) if cut else v2.MixUp(alpha=alpha)
            images, columns = mix(batch["input"], columns)
        if "weight" not in batch:
            return Batch({**batch, "input": images, "target": columns})
        plain, weighted, weight = columns.split([target.shape[1], target.shape[1], 1], dim=1)
        # The target of two samples of weight 0 does not matter, but must be finite.
        shared = torch.where(weight > 0, weighted / weight, plain)
        return Batch({**batch, "input": images, "target": shared, "weight": weight[:, 0]})
