"""Torchvision's classification datasets, by the name of their class.

The two CIFAR sets are distributed as pickles, which can run code when they are read. Torchvision reads them, and only
after their MD5 sums are those of the published files.
"""

from __future__ import annotations

import inspect
import logging
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import datasets

from tunesmith.compat.torchvision import pets, samples
from tunesmith.data.image.module import ImageData
from tunesmith.data.progress import track
from tunesmith.data.table import Images, Ints, Table
from tunesmith.errors import DataError, nearest

log = logging.getLogger(__name__)

WORDS = {
    "train": ("train", "trainval", "train-standard"),
    "val": ("val", "valid"),
    "test": ("test",),
}
"""What torchvision's datasets call each split; the first word that a dataset knows is taken."""

NO_CLASS = "N/A"
"""What torchvision calls a place in the list of classes that stands for none (EMNIST's letters count from 1)."""


class TorchvisionDataset(ImageData):
    """A classification dataset of torchvision: its files are decoded as all others are, its arrays taken as they are.

    Its own splits are kept where it has them, and validation is taken from train where it has no such split; else it is
    split by fractions. Files are read from where torchvision looks for them, which its documentation says. A dataset
    that shows neither files nor arrays is gone through once, image by image, and what is not in a file of its own
    (PCAM, FER2013) is kept in memory as an array.

    Args:
        name: Class in `torchvision.datasets`, such as ``CIFAR10``.
        root: Folder that holds the dataset; ``~`` is the home folder.
        download: Whether to download what is not there.
        options: Further arguments of the class, such as ``{partition: 2}`` for DTD or ``{target_types:
            binary-category}`` for the pets.
        **common: Arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        name: str,
        root: str,
        download: bool = False,
        options: dict[str, Any] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        kind = getattr(datasets, name, None)
        if name not in datasets.__all__ or not inspect.isclass(kind):
            near = {known.lower(): known for known in datasets.__all__}.get(name.lower(), name)
            raise DataError(f"Expected a dataset of torchvision but got '{name}'.{nearest(near, datasets.__all__)}")
        self.kind: Any = kind
        self.root = Path(root).expanduser()
        self.download = download
        self.options = dict(options or {})

    def load(self) -> Table:
        """Read every split that the dataset has.

        Raises:
            DataError: The files are not there or not whole, or the dataset is none of classified images.
        """
        parts = {split: _content(self.kind.__name__, data) for split, data in self._splits().items()}
        first = next(iter(parts.values()))
        classes = first.classes or tuple(str(i) for i in range(1 + max(int(p.targets.max()) for p in parts.values())))
        for split, part in parts.items():
            if (part.classes or classes) != classes:
                raise DataError(
                    f"Expected {split} of {self.kind.__name__} to have the classes of the others but it has not."
                )
        targets, classes = _without_empty_places(np.concatenate([part.targets for part in parts.values()]), classes)
        return Table(
            samples=_joined([part.images for part in parts.values()]),
            targets=targets,
            class_names=classes,
            names=np.array([name for split, part in parts.items() for name in self._names(split, part)]),
            channels=1 if isinstance(first.images, np.ndarray) and first.images.ndim == 3 else 3,
            folders=None if set(parts) == {""} else np.repeat(list(parts), [len(p.targets) for p in parts.values()]),
        )

    def _splits(self) -> dict[str, Any]:
        """The dataset's splits by our names; ``""`` where it has none."""
        known = _arguments(self.kind)
        if "split" in known and "split" not in self.options:
            return self._by_word()
        if "train" in known:
            return {"train": self._open(train=True), "test": self._open(train=False)}
        return {"": self._open()}

    def _by_word(self) -> dict[str, Any]:
        found = {}
        for split, words in WORDS.items():
            for word in words:
                try:
                    found[split] = self._open(split=word)
                    break
                except ValueError:  # torchvision's for a word that it does not know, before it looks for files
                    continue
        if "train" not in found:
            raise DataError(
                f"Expected {self.kind.__name__} to have a split for training; give its words in data.options."
            )
        return found

    def _open(self, **split: Any) -> Any:
        known = _arguments(self.kind)
        own: dict[str, Any] = {"loader": _path, "download": self.download}
        own = {name: value for name, value in own.items() if name in known}
        try:
            return self.kind(str(self.root), **own, **split, **self.options)
        except TypeError as err:
            raise DataError(f"Expected data.options to be arguments of {self.kind.__name__} but got: {err}.") from err
        except (RuntimeError, OSError) as err:
            name = self.kind.__name__
            reason = " ".join(str(err).split()).partition(" You can use")[0].rstrip(".:") or type(err).__name__
            download = "" if self.download or "download" not in known else "use data.download=true, or "
            raise DataError(
                f"Expected {name} in {self.root} but got: {reason}; {download}put its files where "
                f"torchvision.datasets.{name} looks for them."
            ) from err

    def _names(self, split: str, part: _Part) -> list[str]:
        if isinstance(part.images, np.ndarray):
            return [f"{split}/{i:06d}".lstrip("/") for i in range(len(part.targets))]
        return [Path(p).relative_to(self.root).as_posix() for p in part.images]


class _Part:
    """What is used of one split.

    Attributes:
        images: Files or arrays.
        targets: Class index of each ``(N,)``.
        classes: Names of the classes, where the dataset has them.
    """

    def __init__(self, images: Images, targets: Any, classes: Any) -> None:
        self.images = images
        self.targets: Ints = np.asarray(targets, dtype=np.int64)
        # ImageNet has several names for a class.
        self.classes = None if classes is None else tuple(c if isinstance(c, str) else ", ".join(c) for c in classes)


def _arguments(kind: Any) -> set[str]:
    """Names of the arguments of a class, and of those that it hands on to its bases."""
    found: set[str] = set()
    for base in inspect.getmro(kind):
        own = inspect.signature(base).parameters
        found |= set(own)
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    return found


def _path(path: str | Path) -> Path:
    """Stands for torchvision's decoder, and decodes nothing."""
    return Path(path)


def _content(name: str, dataset: Any) -> _Part:
    """Take images and classes out of a dataset, without decoding wherever it lets us."""
    held: dict[str, Any] = vars(dataset)
    classes = getattr(dataset, "classes", held.get("categories"))
    targets: Any = next((held[key] for key in ("targets", "labels") if key in held), None)
    if isinstance(held.get("data"), np.ndarray | torch.Tensor) and targets is not None:
        return _Part(_pixels(held["data"]), targets, classes)
    if any(value is _path for value in held.values()):
        pairs = [dataset[i] for i in range(len(dataset))]
    elif (found := pets(dataset)) is not None:
        pairs, classes = found
    else:
        pairs = samples(dataset)
    if pairs and isinstance(pairs[0][0], str | Path):
        return _Part([Path(image) for image, _ in pairs], [label for _, label in pairs], classes)
    return _read_through(name, dataset, classes)


def _read_through(name: str, dataset: Any, classes: Any) -> _Part:
    """Ask a dataset for its images one by one: those that it opens as files are left to our own decoder.

    Raises:
        DataError: An item is no image with a class, or cannot be read, or the arrays are of several sizes.
    """
    targets: list[int] = []
    files: list[Path] = []
    arrays: Any = None
    try:
        count = len(dataset)
        for position in track(range(count), f"Reading {name}", count):
            image, target = dataset[position]
            targets.append(operator.index(target))
            if getattr(image, "filename", ""):  # of an image that was opened and not decoded yet
                files.append(Path(image.filename))
                image.close()
                continue
            pixels = np.asarray(image if image.mode == "L" else image.convert("RGB"))
            if arrays is None:  # made whole at once: a list of arrays would need their room twice
                arrays = np.empty((count, *pixels.shape), np.uint8)
            arrays[position] = pixels
    except (TypeError, ValueError, AttributeError, OSError) as err:
        reason = (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".")
        raise DataError(
            f"Expected a dataset of classified images, as arrays or files, but {name} is not, or hides them "
            f"({reason}); point data=image_folder or data=image_table at its files."
        ) from err
    if not targets or bool(files) == (arrays is not None):
        raise DataError(f"Expected images of {name}, all in files or none, but got {len(files)} of {len(targets)}.")
    return _Part(files or arrays, targets, classes)


def _without_empty_places(targets: Ints, classes: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
    """Leave out places in the list of classes that stand for none, and that no image has."""
    left_out = [i for i, name in enumerate(classes) if name == NO_CLASS and not (targets == i).any()]
    if not left_out:
        return targets, tuple(classes)
    log.warning(f"Left out the class '{NO_CLASS}', which no image has: the classes are counted without it.")
    kept = [i for i in range(len(classes)) if i not in left_out]
    return np.searchsorted(kept, targets), tuple(classes[i] for i in kept)


def _pixels(data: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Arrays ``(N, H, W)``, ``(N, H, W, 3)`` or ``(N, 3, H, W)`` as uint8 ``(N, H, W)`` or ``(N, H, W, 3)``."""
    pixels: Any = data.numpy() if isinstance(data, torch.Tensor) else np.asarray(data)
    if pixels.ndim == 4 and pixels.shape[-1] != 3:
        pixels = pixels.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _joined(parts: list[Images]) -> Images:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate([np.asarray(part) for part in parts])
    return [Path(image) for part in parts for image in part]
