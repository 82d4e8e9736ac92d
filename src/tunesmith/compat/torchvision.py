"""What torchvision's datasets keep to themselves: files and classes, which can be listed without decoding an image."""

from __future__ import annotations

from typing import Any

from torchvision.datasets import OxfordIIITPet, StanfordCars

from tunesmith.compat.required import require

require("torchvision", OxfordIIITPet, "_images", "_labels", "_bin_labels", "_target_types")
require("torchvision", StanfordCars, "_samples")


def samples(dataset: Any) -> list[tuple[Any, int]]:
    """Get the pairs of file and class that some datasets list; none of the others."""
    listed: list[tuple[Any, int]] = vars(dataset).get("_samples", [])
    return listed


def pets(dataset: Any) -> tuple[list[tuple[Any, int]], list[str]] | None:
    """Get the pairs of file and class of the pets, and the classes' names: breeds, or cat and dog as was asked for.

    Returns:
        ``None`` of another dataset.
    """
    if not isinstance(dataset, OxfordIIITPet):
        return None
    breeds = dataset._target_types == ["category"]
    labels, names = (dataset._labels, dataset.classes) if breeds else (dataset._bin_labels, dataset.bin_classes)
    return list(zip(dataset._images, labels, strict=True)), names
