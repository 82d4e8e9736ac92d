"""What the data is, as a data module publishes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSpec:
    """What the data is, published by a data module after `setup`; saved whole in run.json.

    Attributes:
        target: Name of the kind of target, such as ``class``; what it means is in the module of that name in
            `tunesmith.target`.
        class_names: One name a class, label or value, in the order of the indices.
        input: Name of the modality, such as ``image``.
        channels: Channels of a decoded image: 1 (grey) or 3 (RGB); 0 for texts.
        fingerprint: Digest of the content (files' bytes, labels and names), independent of place and time.
        split_unit: What was kept together when splitting: ``sample``, ``group`` or ``folder``.
        group: What a group is, in words; ``None`` where the data has none.
        train_counts: What the kind of target counts in train, such as samples of each class ``(K,)``; else empty.
        train_size: Training samples.
        mean_weight: Mean over the training samples of their weights in the loss.
        target_mean: Mean of each value over the training samples ``(K,)``; empty but for values.
        target_std: Standard deviation of each value over the training samples ``(K,)``; empty but for values.
        truncated: Share of the texts that are longer than the backbone sees.
        unlabelled: Number and digest of the texts that training batches hold besides; ``None`` for none.
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
