"""All that the content of an entry depends on: any change is another entry."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tunesmith import __version__
from tunesmith.backbone.weights import content_hash
from tunesmith.cache.frozen import Cut, Frozen

FORMAT = 1


def describe(
    frozen: Frozen, cut: Cut, data: Any, rows: npt.NDArray[np.int64], precision: str, dtype: str, view: int | None
) -> dict[str, Any]:
    """Put together what an entry depends on, as plain values; some of it is there for people.

    Args:
        frozen: The frozen part.
        cut: What is kept of it.
        data: The data module.
        rows: Rows of its table that are kept.
        precision: The trainer's.
        dtype: How numbers are kept.
        view: The epoch whose augmentation is kept; ``None`` for pictures as in evaluation.
    """
    net = type(frozen.backbone.net)
    return {
        "format": FORMAT,
        "backbone": f"{type(frozen.backbone).__name__} {net.__name__}",
        "structure": _digest(frozen.structure(cut.stages)),
        "weights": content_hash(frozen.tensors(cut.stages)),
        "after": frozen.backbone.stages[cut.stages - 1].name,
        "cut": asdict(cut),
        "data": type(data).__name__,
        "pictures": _pictures(data, rows),
        "rows": len(rows),
        "channels": data.spec.channels,
        "preprocess": asdict(frozen.preprocess),
        "view": None if view is None else [view, data.seed, repr(data.training_pictures().augmentation)],
        "precision": [precision, dtype, torch.get_float32_matmul_precision()],
        "device": frozen.task.device.type,
        "memory_format": str(frozen.task._memory_format),
        "versions": {"tunesmith": __version__} | _versions("torch", "torchvision", "pillow", net.__module__),
    }


def _pictures(data: Any, rows: npt.NDArray[np.int64]) -> str:
    digests, whole = data.digests
    total = hashlib.blake2b(b"".join(digests[row] for row in rows), digest_size=16)
    if not whole:  # only the first bytes of each file were read: the time of its last change stands for the rest
        files: list[Path] = [data.table.pictures[row] for row in rows]
        total.update(repr([file.stat().st_mtime_ns for file in files]).encode())
    return total.hexdigest()


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        package = name.partition(".")[0]
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a module of the user's own
            continue
    return found


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
