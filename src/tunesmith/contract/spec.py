"""Describe the data, as a data module publishes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSpec:
    """Description of the data, published by a data module after `setup`; saved in run.json.

    Attributes:
        target: Name of the kind of target, such as ``class``, a module of `tunesmith.target`.
        class_names: One name per class, label or value, in the order of the indices.
        input: Name of the modality, such as ``image``.
        channels: Channels of a decoded image: 1 (grey) or 3 (RGB); 0 for texts.
        fingerprint: Digest of the content (files' bytes, labels and names), independent of paths and times.
        split_unit: Unit of splitting: ``sample``, ``group`` or ``folder``.
        group: Description of a group; ``None`` if the data have none.
        train_counts: Counts in train, such as samples per class ``(K,)``; empty if the kind of target has none.
        train_size: Number of training samples.
        mean_weight: Mean weight of the training samples in the loss.
        target_mean: Mean of each value over the training samples ``(K,)``; empty for other kinds of target.
        target_std: Standard deviation of each value over the training samples ``(K,)``; empty likewise.
        truncated: Share of texts that are longer than the backbone's input.
        unlabelled: Number and digest of the unlabelled texts in training batches; ``None`` for none.
    """

    class_names: tuple[str, ...]
    channels: int
    fingerprint: str
    split_unit: str
    group: str | None = None
    target: str = "class"
    input: str = "image"
    train_counts: tuple[int, ...] = ()
    train_size: int = 0
    mean_weight: float = 1.0
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    truncated: float = 0.0
    unlabelled: str | None = None
