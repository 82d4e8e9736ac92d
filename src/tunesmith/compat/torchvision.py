"""Read files and classes from the private attributes of torchvision's datasets, without decoding an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets import OxfordIIITPet, StanfordCars

from tunesmith.compat.required import require

require("torchvision", OxfordIIITPet, "_images", "_labels", "_bin_labels", "_target_types")
require("torchvision", StanfordCars, "_samples")


def samples(dataset: object) -> list[tuple[str | Path, int]]:
    """Return the pairs of file and class that some datasets list; empty for others."""
    listed: list[tuple[str | Path, int]] = vars(dataset).get("_samples", [])
    return listed


def pets(dataset: object) -> tuple[list[tuple[Path, int]], Sequence[str]] | None:
    """Return the pairs of file and class of the pets, and the class names: breeds, or cat and dog, as configured.

    Returns:
        ``None`` for any other dataset.
    """
    if not isinstance(dataset, OxfordIIITPet):
        return None
    breeds = dataset._target_types == ["category"]
    labels, names = (dataset._labels, dataset.classes) if breeds else (dataset._bin_labels, dataset.bin_classes)
    return list(zip(dataset._images, labels, strict=True)), names
