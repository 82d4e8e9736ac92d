"""Define losses for each kind of target, check that a loss fits, and apply sample weights."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunesmith.errors import ConfigError
from tunesmith.target.base import DENSE, of

Weighting = Literal["auto"] | Sequence[float] | None


class Loss(nn.Module, ABC):
    """A loss per sample, and its plain mean over the batch.

    The mean divides by the number of samples, not by their class weights, so that a batch with a rare class counts
    more, as it does in the mean over all of train.
    """

    targets: ClassVar[tuple[str, ...]]
    """Kinds of target, as in `DataSpec`, that the loss accepts; `DENSE` for all with many outputs per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.reduction = "mean"

    @abstractmethod
    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Map outputs ``(B, K)`` in float32 and targets to the loss of each sample ``(B,)``."""

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Map outputs ``(B, K)`` and targets to a scalar, or to ``(B,)`` if ``reduction`` is ``none``."""
        losses = self.losses(outputs.float(), target)
        return losses.mean() if self.reduction == "mean" else losses


@final
class CrossEntropy(Loss):
    """Cross-entropy of the softmax with a class ``(B,)`` or, for mixed samples, class probabilities ``(B, K)``.

    With one output per token or pixel, B is their number.

    Args:
        label_smoothing: Share of the target that is spread over all classes, from 0 to below 1.
        class_weight: Weight of each class ``(K,)``; ``auto`` is N / (K n_k), which makes every class count equally.
        logit_adjustment: Factor on the log class frequencies that are added to the outputs in the loss; at 1 the plain
            outputs minimise the balanced error (Menon et al., Long-tail learning via logit adjustment, 2021).
        train_counts: Training samples of each class ``(K,)``.

    Raises:
        ConfigError: An argument is out of range, or train lacks a class whose weight is to be computed.
    """

    targets = ("class", DENSE)
    weight: Tensor | None
    shift: Tensor | None

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weight: Literal["auto"] | Sequence[float] | None = None,
        logit_adjustment: float = 0.0,
        train_counts: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"Expected loss.label_smoothing to be from 0 to below 1 but got {label_smoothing}.")
        if logit_adjustment < 0:
            raise ConfigError(f"Expected loss.logit_adjustment to be at least 0 but got {logit_adjustment}.")
        self.label_smoothing = label_smoothing
        shift = None
        if logit_adjustment:
            counts = _counted(train_counts, f"loss.logit_adjustment={logit_adjustment}")
            shift = logit_adjustment * (counts / counts.sum()).log()
        # Not persistent: they follow from configuration and data.
        self.register_buffer("weight", class_weights(class_weight, train_counts), persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Loss.losses`."""
        if self.shift is not None:
            outputs = outputs + self.shift
        return F.cross_entropy(outputs, target, self.weight, reduction="none", label_smoothing=self.label_smoothing)


@final
class Focal(Loss):
    """Focal loss: cross-entropy times ``(1 - p)^gamma``, p the probability of the target (Lin et al., 2017).

    Args:
        gamma: Focusing exponent, at least 0; 0 is cross-entropy.
        class_weight: As for `CrossEntropy`; the paper's alpha.
        train_counts: Training samples of each class ``(K,)``.

    Raises:
        ConfigError: An argument is out of range, or train lacks a class whose weight is to be computed.
    """

    targets = ("class", "tags")
    weight: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        class_weight: Literal["auto"] | Sequence[float] | None = None,
        train_counts: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ConfigError(f"Expected loss.gamma to be at least 0 but got {gamma}.")
        self.gamma = gamma
        self.register_buffer("weight", class_weights(class_weight, train_counts), persistent=False)

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Loss.losses`."""
        log_p = outputs.log_softmax(dim=-1)
        if target.ndim == 1:
            target = F.one_hot(target, outputs.shape[-1])
        terms = target * (1 - log_p.exp()) ** self.gamma * -log_p
        return (terms if self.weight is None else terms * self.weight).sum(dim=-1)


@final
class BCE(Loss):
    """Binary cross-entropy of the sigmoid with labels ``(B, K)``, averaged over labels.

    Args:
        pos_weight: Weight of a label's presence relative to absence ``(K,)``; ``auto`` is absent / present in train.
        train_counts: Training samples with each label ``(K,)``.
        train_size: Training samples.

    Raises:
        ConfigError: There is not one positive weight per label, or train lacks a label whose weight is to be computed.
    """

    targets = ("multilabel",)
    pos_weight: Tensor | None

    def __init__(
        self,
        pos_weight: Literal["auto"] | Sequence[float] | None = None,
        train_counts: Sequence[int] = (),
        train_size: int = 0,
    ) -> None:
        super().__init__()
        if pos_weight == "auto":
            counts = _counted(train_counts, "loss.pos_weight=auto")
            # At least 1, or a label that every sample has would have no weight.
            weight: Tensor | None = (train_size - counts).clamp_min(1) / counts
        else:
            weight = _given(pos_weight, len(train_counts), "pos_weight")
        self.register_buffer("pos_weight", weight, persistent=False)

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Loss.losses`."""
        target = target.float()
        terms = F.binary_cross_entropy_with_logits(outputs, target, reduction="none", pos_weight=self.pos_weight)
        return terms.mean(dim=-1)


@final
class Ordinal(Loss):
    """Extended binary classification of a level ``(B,)``: does it exceed k, for each of the K - 1 outputs.

    The mean of K - 1 binary cross-entropies (Li and Lin, Ordinal regression by extended binary classification, 2007;
    Niu et al., Ordinal regression with multiple output CNN for age estimation, 2016).
    """

    targets = ("ordinal",)

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Loss.losses`."""
        above = target[:, None] > torch.arange(outputs.shape[-1], device=outputs.device)
        return F.binary_cross_entropy_with_logits(outputs, above.float(), reduction="none").mean(dim=-1)


def class_weights(weighting: Weighting, train_counts: Sequence[int]) -> Tensor | None:
    """Compute the class weights ``(K,)``, float32, for a value of ``class_weight``.

    Raises:
        ConfigError: There is not one positive weight per class, or train lacks a class.
    """
    if weighting == "auto":
        counts = _counted(train_counts, "loss.class_weight=auto")
        return counts.sum() / (len(counts) * counts)
    return _given(weighting, len(train_counts), "class_weight")


def _counted(train_counts: Sequence[int], what: str) -> Tensor:
    if not train_counts:
        raise ConfigError(f"Expected targets that are classes or labels for {what} but got others; leave it out.")
    if 0 in train_counts:
        number = list(train_counts).index(0)
        raise ConfigError(f"Expected every class or label in train for {what} but number {number} (from 0) is missing.")
    return torch.tensor(train_counts, dtype=torch.float32)


def _given(weights: Sequence[float] | str | None, number: int, name: str) -> Tensor | None:
    if weights is None:
        return None
    if isinstance(weights, str) or len(weights) != (number or len(weights)) or min(weights) <= 0:
        shown = weights if isinstance(weights, str) else list(weights)
        raise ConfigError(f"Expected loss.{name} to be auto, null or {number} positive numbers but got {shown}.")
    return torch.tensor(weights, dtype=torch.float32)


_TORCH: dict[type[nn.Module], tuple[str, ...]] = {
    nn.CrossEntropyLoss: ("class", DENSE),
    nn.BCEWithLogitsLoss: ("multilabel",),
    nn.MultiLabelSoftMarginLoss: ("multilabel",),
    **dict.fromkeys((nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss), ("value",)),
}
_OF_PROBABILITIES: dict[type[nn.Module], str] = {nn.NLLLoss: "log-probabilities", nn.BCELoss: "probabilities"}


def loss_mistakes(loss: nn.Module, kind: str) -> Iterator[str]:
    """Report a loss for another kind of target, or for outputs that no head produces.

    Args:
        loss: Ours or torch's; any other is assumed to fit.
        kind: Kind of target.
    """
    name, use = type(loss).__name__, f"use loss={of(kind).loss}"
    if type(loss) in _OF_PROBABILITIES:
        takes = _OF_PROBABILITIES[type(loss)]
        yield f"Expected a loss on a head's raw outputs but got {name}, which takes {takes}; {use}."
    targets = loss.targets if isinstance(loss, Loss) else ()
    targets = targets or _TORCH.get(type(loss), (kind,))
    if not of(kind).fits(targets):
        yield (
            f"Expected a loss for {kind} targets but got {name}, which is for {' or '.join(targets)} targets; {use}."
        )


def mean_loss(
    loss: nn.Module,
    outputs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    mean_weight: float | None = None,
    views: int = 1,
) -> Tensor:
    """Average the samples' losses, weighted if there are weights: a scalar; 0 if all weights are 0.

    In training a sample must count the same in any batch, even alone: the divisor is therefore the expected sum of
    weights, B times their mean over train. Means over steps and processes then equal the mean over train.

    Args:
        loss: Maps outputs and targets to a scalar; for weights, with an attribute ``reduction``, like torch's and ours.
        outputs: ``(B, K)``, or ``(B, V, K)`` with V views, each of which counts as a sample.
        target: ``(B, …)``, as the loss takes it.
        weight: ``(B,)``.
        mean_weight: Mean over train; ``None`` to divide by the sum of the batch's own weights.
        views: Number V.

    Raises:
        ConfigError: There are weights but the loss cannot return one loss per sample.
    """
    if views > 1:
        outputs, target = outputs.flatten(0, 1), target.repeat_interleave(views, dim=0)
        weight = None if weight is None else weight.repeat_interleave(views)
    if weight is None:
        mean: Tensor = loss(outputs, target)
        return mean
    alone = copy.copy(loss)
    alone.reduction = "none"  # type: ignore[assignment]  # nn.Module says that its attributes are Tensor | Module
    losses: Tensor = alone(outputs, target)
    if not hasattr(loss, "reduction") or not losses.ndim:
        raise ConfigError(
            f"Expected a loss with an attribute 'reduction', since samples have weights, but got {type(loss).__name__}."
        )
    losses = losses.flatten(1).mean(dim=1) if losses.ndim > 1 else losses
    total = weight.sum() if mean_weight is None else torch.full_like(weight[0], len(weight) * mean_weight)
    return (losses * weight).sum() / total.clamp_min(torch.finfo(torch.float32).tiny)
