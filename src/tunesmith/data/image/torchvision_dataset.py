"""Read torchvision's classification datasets, by the name of their class.

The two CIFAR datasets are pickles, which can run code when they are read; torchvision first compares their MD5 sums
with those of the published files.
"""

from __future__ import annotations

import inspect
import logging
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from PIL.ImageFile import ImageFile
from torchvision import datasets
from typing_extensions import Unpack

from tunesmith.compat.torchvision import pets, samples
from tunesmith.contract.plain import PlainData
from tunesmith.data.arguments import ImageArguments
from tunesmith.data.image.module import ImageData
from tunesmith.data.progress import track
from tunesmith.data.table import Images, Ints, Pixels, Table
from tunesmith.errors import DataError, nearest

log = logging.getLogger(__name__)

WORDS = {
    "train": ("train", "trainval", "train-standard"),
    "val": ("val", "valid"),
    "test": ("test",),
}
"""Torchvision's words for each split; the first one that a dataset knows is used."""

NO_CLASS = "N/A"
"""Torchvision's name of an unused class index (EMNIST's letters count from 1)."""


class TorchvisionDataset(ImageData):
    """A classification dataset of torchvision; files are decoded like all others, arrays are used directly.

    The dataset's own splits are used if there are any, with validation drawn from train if need be; else it is split by
    fractions. A dataset that exposes neither files nor arrays is read once, image by image, and kept in memory if its
    images are not files (PCAM, FER2013).

    Args:
        name: Class in `torchvision.datasets`, such as ``CIFAR10``.
        root: Folder of the dataset, laid out as torchvision's documentation says; ``~`` is the home folder.
        download: Whether to download missing files.
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
        options: dict[str, object] | None = None,
        **common: Unpack[ImageArguments],
    ) -> None:
        super().__init__(**common)
        kind = getattr(datasets, name, None)
        if name not in datasets.__all__ or not inspect.isclass(kind):
            near = {known.lower(): known for known in datasets.__all__}.get(name.lower(), name)
            raise DataError(f"Expected a dataset of torchvision but got '{name}'.{nearest(near, datasets.__all__)}")
        self.kind: type = kind
        self.root = Path(root).expanduser()
        self.download = download
        self.options = dict(options or {})

    def load(self) -> Table:
        """Read all splits of the dataset.

        Raises:
            DataError: Files are missing or damaged, or it is not a dataset of classified images.
        """
        parts = {split: _content(self.kind.__name__, data) for split, data in self._splits().items()}
        first = next(iter(parts.values()))
        classes = first.classes or tuple(str(i) for i in range(1 + max(int(p.targets.max()) for p in parts.values())))
        for split, part in parts.items():
            if (part.classes or classes) != classes:
                raise DataError(
                    f"Expected {split} of {self.kind.__name__} to have the same classes as the others but it has not."
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

    def _splits(self) -> dict[str, _Images]:
        """Return the dataset's splits by our names; ``""`` if it has none."""
        known = _arguments(self.kind)
        if "split" in known and "split" not in self.options:
            return self._by_word()
        if "train" in known:
            return {"train": self._open(train=True), "test": self._open(train=False)}
        return {"": self._open()}

    def _by_word(self) -> dict[str, _Images]:
        found = {}
        for split, words in WORDS.items():
            for word in words:
                try:
                    found[split] = self._open(split=word)
                    break
                except ValueError:  # torchvision raises it for an unknown word, before it looks for files
                    continue
        if "train" not in found:
            raise DataError(
                f"Expected {self.kind.__name__} to have a split for training; give its words in data.options."
            )
        return found

    def _open(self, **split: str | bool) -> _Images:
        known = _arguments(self.kind)
        own = {"loader": _path, "download": self.download}
        own = {name: value for name, value in own.items() if name in known}
        try:
            found: _Images = self.kind(str(self.root), **own, **split, **self.options)
            return found
        except TypeError as err:
            raise DataError(f"Expected data.options to be arguments of {self.kind.__name__} but got: {err}.") from err
        except (RuntimeError, OSError) as err:
            reason = " ".join(str(err).split()).partition(" You can use")[0].rstrip(".:") or type(err).__name__
            download = "" if self.download or "download" not in known else "use data.download=true, or "
            raise DataError(
                f"Expected {self.kind.__name__} in {self.root} but got: {reason}; {download}put its files where "
                f"torchvision.datasets.{self.kind.__name__} looks for them."
            ) from err

    def _names(self, split: str, part: _Part) -> list[str]:
        if isinstance(part.images, np.ndarray):
            return [f"{split}/{i:06d}".lstrip("/") for i in range(len(part.targets))]
        return [Path(p).relative_to(self.root).as_posix() for p in part.images]


class _Images(Protocol):
    """A dataset of torchvision, which has no types."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> tuple[object, int]: ...


class _Part:
    """The content of one split.

    Attributes:
        images: Files or arrays.
        targets: Class index of each ``(N,)``.
        classes: Names of the classes; ``None`` if the dataset has none.
    """

    def __init__(
        self,
        images: Images,
        targets: Sequence[int] | Ints | torch.Tensor,
        classes: Sequence[str | Sequence[str]] | None,
    ) -> None:
        self.images = images
        self.targets: Ints = np.asarray(targets, dtype=np.int64)
        # ImageNet has several names per class.
        self.classes = None if classes is None else tuple(c if isinstance(c, str) else ", ".join(c) for c in classes)


def _arguments(kind: type) -> set[str]:
    """Return the names of the arguments of a class, including those that it passes on to its bases."""
    found: set[str] = set()
    for base in inspect.getmro(kind):
        own = inspect.signature(base).parameters
        found |= set(own)
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    return found


def _path(path: str | Path) -> Path:
    """Replace torchvision's decoder: return the path."""
    return Path(path)


def _content(name: str, dataset: _Images) -> _Part:
    """Read images and classes of a dataset, without decoding if possible."""
    held: PlainData = vars(dataset)
    classes = getattr(dataset, "classes", held.get("categories"))
    targets = next((held[key] for key in ("targets", "labels") if key in held), None)
    if isinstance(held.get("data"), np.ndarray | torch.Tensor) and targets is not None:
        return _Part(_pixels(held["data"]), targets, classes)
    if any(value is _path for value in held.values()):
        pairs: Sequence[tuple[object, int]] = [dataset[i] for i in range(len(dataset))]
    elif (found := pets(dataset)) is not None:
        pairs, classes = found
    else:
        pairs = samples(dataset)
    paths = [Path(image) for image, _ in pairs if isinstance(image, str | Path)]
    if paths:
        return _Part(paths, [label for _, label in pairs], classes)
    return _read_through(name, dataset, classes)


def _read_through(name: str, dataset: _Images, classes: Sequence[str] | None) -> _Part:
    """Read a dataset's images one by one, without decoding those that it opens as files.

    Raises:
        DataError: An item is not an image with a class, or cannot be read, or the arrays differ in size.
    """
    targets: list[int] = []
    files: list[Path] = []
    arrays: Pixels | None = None
    try:
        count = len(dataset)
        for position in track(range(count), f"Reading {name}", count):
            item, target = dataset[position]
            image = cast(ImageFile, item)  # an AttributeError tells that it is none
            targets.append(operator.index(target))
            if getattr(image, "filename", ""):  # set for an image that is opened but not decoded
                files.append(Path(str(image.filename)))
                image.close()
                continue
            pixels = np.asarray(image if image.mode == "L" else image.convert("RGB"))
            if arrays is None:  # allocated once, since stacking a list of arrays would double the memory
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
    return _Part(files if arrays is None else arrays, targets, classes)


def _without_empty_places(targets: Ints, classes: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
    """Remove unused class indices that torchvision marks as such."""
    left_out = [i for i, name in enumerate(classes) if name == NO_CLASS and not (targets == i).any()]
    if not left_out:
        return targets, tuple(classes)
    log.warning(f"Left out the class '{NO_CLASS}', which no image has.")
    kept = [i for i in range(len(classes)) if i not in left_out]
    return np.searchsorted(kept, targets), tuple(classes[i] for i in kept)


def _pixels(data: Pixels | torch.Tensor) -> Pixels:
    """Convert ``(N, H, W)``, ``(N, H, W, 3)`` or ``(N, 3, H, W)`` to uint8 ``(N, H, W)`` or ``(N, H, W, 3)``."""
    pixels: Pixels = data.numpy() if isinstance(data, torch.Tensor) else data
    if pixels.ndim == 4 and pixels.shape[-1] != 3:
        pixels = pixels.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _joined(parts: list[Images]) -> Images:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate([np.asarray(part) for part in parts])
    return [Path(image) for part in parts for image in part]
