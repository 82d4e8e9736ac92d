"""Collect everything that the content of an entry depends on: any change makes another entry."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tunesmith import __version__
from tunesmith.backbone.weights import content_hash
from tunesmith.cache.frozen import Cut, Frozen
from tunesmith.contract.preprocess import Preprocess
from tunesmith.data.column import Texts, digest_texts
from tunesmith.data.image.decode import Decode
from tunesmith.data.module import TableData
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.target.base import of

FORMAT = 2


def of_activations(
    frozen: Frozen, cut: Cut, data: TableData, rows: npt.NDArray[np.int64], precision: str, dtype: str, view: int | None
) -> dict[str, object]:
    """Return what activations depend on, as plain values; some are only informative.

    Args:
        frozen: The frozen part.
        cut: Which outputs are kept.
        data: The data module.
        rows: Cached rows of its table.
        precision: The trainer's precision.
        dtype: Type in which numbers are stored.
        view: Epoch whose augmentation is cached; ``None`` for images as in evaluation.
    """
    net = type(frozen.backbone.net)
    after = frozen.backbone.stages[cut.stages - 1].name
    return {
        "format": FORMAT,
        "kept": f"activations after {after}" if cut.last else "features",
        "backbone": f"{type(frozen.backbone).__name__} {net.__name__}",
        "structure": _digest(frozen.structure(cut.stages)),
        "source": _sources(frozen.classes(cut.stages)),
        "weights": content_hash(frozen.tensors(cut.stages)),
        "cut": asdict(cut),
        "data": type(data).__name__,
        "images": _images(data, rows),
        "rows": len(rows),
        "channels": data.spec.channels,
        "preprocess": _preprocess(data.preprocess),
        "view": None if view is None else _view(data, rows, view),
        **of(data.spec.target).cache_key(),
        "precision": [precision, dtype, torch.get_float32_matmul_precision()],
        "device": frozen.task.device.type,
        "memory_format": str(frozen.task.memory_format),
        "versions": {"tunesmith": __version__} | _versions("torch", "torchvision", "pillow", net.__module__),
    }


def of_images(data: TableData, rows: npt.NDArray[np.int64], decoder: Decode) -> dict[str, object]:
    """Return what decoded images depend on: their content and the decoding.

    Args:
        data: The data module.
        rows: Cached rows of its table.
        decoder: How they are decoded.
    """
    return {
        "format": FORMAT,
        "kept": f"decoded images of {decoder.side} px",
        "source": _sources([Decode]),
        "data": type(data).__name__,
        "images": _images(data, rows),
        "rows": len(rows),
        "decoder": asdict(decoder),
        "versions": {"tunesmith": __version__} | _versions("torch", "pillow"),
    }


def of_tokens(tokenizer: Tokenizer, how: str, texts: Sequence[object]) -> dict[str, object]:
    """Return what tokens depend on: the texts, the tokenizer, and how it is called.

    Args:
        tokenizer: The tokenizer.
        how: Description of the call.
        texts: N texts, each of one or more parts.
    """
    return {
        "format": FORMAT,
        "kept": "tokens",
        "backbone": tokenizer.preprocess.tokenizer,
        "data": "texts",
        "rows": len(texts),
        "texts": texts.digest if isinstance(texts, Texts) else digest_texts(texts),
        "how": how,
        "source": _sources(type(tokenizer).__mro__),
        "preprocess": _preprocess(tokenizer.preprocess),
        "versions": {"tunesmith": __version__} | _versions("transformers", "tokenizers", "sentencepiece"),
    }


def _preprocess(how: Preprocess) -> dict[str, object]:
    """Return how inputs are prepared, without the location of the tokenizer's files, which does not matter."""
    return {k: v for k, v in asdict(how).items() if k != "folder"}


def _view(data: TableData, rows: npt.NDArray[np.int64], view: int) -> list[object]:
    """Return what an augmented view depends on besides the images, including their rows in the table."""
    augmentation = data.augmentation()
    assert augmentation is not None  # else there were no views
    return [view, data.seed if augmentation.seeded else None, repr(augmentation), _digest(repr(rows.tolist()))]


def _images(data: TableData, rows: npt.NDArray[np.int64]) -> str:
    digests, whole = data.digests
    total = hashlib.blake2b(b"".join(digests[row] for row in rows), digest_size=16)
    if not whole:  # only the first bytes of each file were hashed: its modification time covers the rest
        files: list[Path] = [data.table.samples[row] for row in rows]
        total.update(repr([file.stat().st_mtime_ns for file in files]).encode())
    return total.hexdigest()


def _sources(classes: Iterable[type]) -> str:
    """Hash the files that define classes: the user's own code has no version, nor has a package under development.

    Imports of these files, and classes not defined in a file, are not covered.
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
        except PackageNotFoundError:  # a module of the user's
            continue
    return found


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
