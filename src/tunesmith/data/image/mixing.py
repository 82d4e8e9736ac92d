"""Mixup and CutMix: training batches in which every sample is a mixture of two.

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
    """Which mixtures, how strong and until when.

    Attributes:
        mixup: Both parameters of the Beta distribution that the share of either image is drawn from; 0 for no mixup.
        cutmix: The same for the share of the area; 0 for no CutMix. With both, each batch draws one of them.
        off_epochs: Epochs at the end of training that see whole images, which is what is tested.
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
        """Refuse a kind of target of which there are no mixtures."""
        if self.wanted:
            of(spec.target).check_mixed()

    @property
    def wanted(self) -> bool:
        """Whether batches of any epoch are mixed."""
        return bool(self.mixup or self.cutmix)

    def applies(self, epoch: int, epochs: int | None) -> bool:
        """Whether batches of an epoch are mixed.

        Args:
            epoch: Counted from 0.
            epochs: Of the whole training; ``None`` or -1 where only its steps are known: there are no last epochs then.
        """
        last = epochs is not None and epochs >= 0 and epoch >= epochs - self.off_epochs
        return self.wanted and not last

    def seed(self, seed: int, epoch: int, index: Sequence[int]) -> int:
        """What the random numbers of a batch depend on: the run's seed, the epoch, and the rows of its samples."""
        return derive("mix", seed, epoch, *index)

    def __call__(self, batch: Batch, seed: int, num_classes: int) -> Batch:
        """Mix every sample with the one before it; batches are shuffled, so that is any other.

        Args:
            batch: With float images ``(B, C, H, W)``.
            seed: As `seed` gives it; the global random streams are left as they were.
            num_classes: K; a class index becomes class probabilities ``(B, K)``.

        Returns:
            The mixture, with ``index`` as it was. Weights are mixed as the images are, and a target has a part in its
            mixture by its weight too, so that one of weight 0 has none.
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
            alpha = float(self.cutmix if cut else self.mixup)  # torch draws from no distribution of an integer
            mix = v2.CutMix(alpha=alpha) if cut else v2.MixUp(alpha=alpha)
            images, columns = mix(batch["input"], columns)
        if "weight" not in batch:
            return Batch({**batch, "input": images, "target": columns})
        plain, weighted, weight = columns.split([target.shape[1], target.shape[1], 1], dim=1)
        # Of two of weight 0 the target is of no account, but it must be finite.
        shared = torch.where(weight > 0, weighted / weight, plain)
        return Batch({**batch, "input": images, "target": shared, "weight": weight[:, 0]})
