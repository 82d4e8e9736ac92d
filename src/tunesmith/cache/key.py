"""All that the content of an entry depends on: any change is another entry."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
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
from tunesmith.data.image.decode import Front
from tunesmith.data.text.tokenizer import Tokenizer

FORMAT = 2


def of_activations(
    frozen: Frozen, cut: Cut, data: Any, rows: npt.NDArray[np.int64], precision: str, dtype: str, view: int | None
) -> dict[str, Any]:
    """What activations depend on, as plain values; some of it is there for people.

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
    after = frozen.backbone.stages[cut.stages - 1].name
    return {
        "format": FORMAT,
        "kept": "features" if cut.pooled else f"activations after {after}",
        "backbone": f"{type(frozen.backbone).__name__} {net.__name__}",
        "structure": _digest(frozen.structure(cut.stages)),
        "source": _sources(frozen.classes(cut.stages)),
        "weights": content_hash(frozen.tensors(cut.stages)),
        "cut": asdict(cut),
        "data": type(data).__name__,
        "pictures": _pictures(data, rows),
        "rows": len(rows),
        "channels": data.spec.channels,
        "preprocess": _preprocess(data.preprocess),
        "view": None if view is None else _view(data, rows, view),
        # What is learnt of texts themselves is read with other ends, or together with what is to be written.
        **({"target": data.spec.target} if data.spec.target in ("text", "tokens") else {}),
        "precision": [precision, dtype, torch.get_float32_matmul_precision()],
        "device": frozen.task.device.type,
        "memory_format": str(frozen.task.memory_format),
        "versions": {"tunesmith": __version__} | _versions("torch", "torchvision", "pillow", net.__module__),
    }


def of_pictures(data: Any, rows: npt.NDArray[np.int64], front: Front) -> dict[str, Any]:
    """What decoded pictures depend on: their content and what is done to it.

    Args:
        data: The data module.
        rows: Rows of its table that are kept.
        front: How they are decoded.
    """
    return {
        "format": FORMAT,
        "kept": f"decoded pictures of {front.side} px",
        "source": _sources([Front]),
        "data": type(data).__name__,
        "pictures": _pictures(data, rows),
        "rows": len(rows),
        "front": asdict(front),
        "versions": {"tunesmith": __version__} | _versions("torch", "pillow"),
    }


def of_tokens(tokenizer: Tokenizer, how: str, texts: Sequence[Any]) -> dict[str, Any]:
    """What tokens depend on: the texts, the tokenizer, and what it is asked for.

    Args:
        tokenizer: Makes them.
        how: What it is asked for.
        texts: N, each of one or more parts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(repr(text).encode())
    return {
        "format": FORMAT,
        "kept": "tokens",
        "backbone": tokenizer.preprocess.tokenizer,
        "data": "texts",
        "rows": len(texts),
        "texts": digest.hexdigest(),
        "how": how,
        "source": _sources(type(tokenizer).__mro__),
        "preprocess": _preprocess(tokenizer.preprocess),
        "versions": {"tunesmith": __version__} | _versions("transformers", "tokenizers", "sentencepiece"),
    }


def _preprocess(how: Any) -> dict[str, Any]:
    """How inputs are prepared; where the files of a tokenizer lie is nothing to what it does."""
    return {k: v for k, v in asdict(how).items() if k != "folder"}


def _view(data: Any, rows: npt.NDArray[np.int64], view: int) -> list[Any]:
    """What an augmented view depends on besides the pictures: their places in the table too."""
    augmentation = data.augmentation()
    return [view, data.seed if augmentation.seeded else None, repr(augmentation), _digest(repr(rows.tolist()))]


def _pictures(data: Any, rows: npt.NDArray[np.int64]) -> str:
    digests, whole = data.digests
    total = hashlib.blake2b(b"".join(digests[row] for row in rows), digest_size=16)
    if not whole:  # only the first bytes of each file were read: the time of its last change stands for the rest
        files: list[Path] = [data.table.samples[row] for row in rows]
        total.update(repr([file.stat().st_mtime_ns for file in files]).encode())
    return total.hexdigest()


def _sources(classes: Iterable[type]) -> str:
    """Digest of the files that define classes: the user's own code has no version, nor has a package being edited.

    What these files import is not seen, nor is a class that was made in no file.
    """
    modules = {name: getattr(sys.modules.get(name), "__file__", None) for name in {c.__module__ for c in classes}}
    total = hashlib.blake2b(digest_size=16)
    for name, file in sorted(modules.items()):
        if file and Path(file).is_file():
            total.update(name.encode() + b"\0" + hashlib.blake2b(Path(file).read_bytes()).digest())
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
