"""Inspect single images: whether they can be read, what is unusual about them, and a thumbnail."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from tunesmith.check.finding import Finding, Item, Level
from tunesmith.data.image.decode import FORMATS, MAX_PIXELS, reason
from tunesmith.data.image.memory import cores
from tunesmith.data.progress import track
from tunesmith.data.table import Images, Pixels

THUMBNAIL = 32
"""Side of a thumbnail in pixels."""

BLANK = 1.0
"""Standard deviation of a thumbnail's grey values, on the scale 0 to 255, below which the image counts as blank."""

MEANING: dict[str, tuple[Level, str]] = {
    "unreadable": ("error", "Training stops at them; mend them, or leave them out with data.on_bad_file=skip."),
    "truncated": ("error", "The files end too early: copy them again, or use data.on_bad_file=skip."),
    "huge": ("error", f"Images of more than {MAX_PIXELS // 10**6} megapixels are not decoded: make them smaller."),
    "wrong suffix": ("warning", "The content is of another format than the name says; other tools may stumble."),
    "animated": ("warning", "Only the first image of each is seen."),
    "blank": ("warning", "They show one colour: nothing can be learned from them."),
    "CMYK": ("note", "They are converted to RGB without a colour profile, so colours may shift."),
    "16 bit": ("note", "They are reduced to 8 bits a channel."),
    "alpha": ("note", "What is transparent becomes white."),
    "palette": ("note", "They are expanded to full colours."),
    "grey": ("note", "They are grey where most others have colours: a model may learn that instead of the content."),
    "coloured": ("note", "They have colours where most others are grey."),
}
"""Level and meaning of each kind of finding."""

_MODES = {"CMYK": "CMYK", "P": "palette", "PA": "palette", "RGBA": "alpha", "LA": "alpha", "La": "alpha"}
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class Seen:
    """The properties of one image.

    Attributes:
        kinds: Keys of `MEANING`, each with a detail.
        size: Width and height in pixels; ``None`` if even the header cannot be read.
        grey: Whether it has no colours; ``None`` if it cannot be read.
        thumbnail: Grey values ``(32, 32)``, uint8; ``None`` if it cannot be read.
    """

    kinds: tuple[tuple[str, str], ...] = ()
    size: tuple[int, int] | None = None
    grey: bool | None = None
    thumbnail: npt.NDArray[np.uint8] | None = None

    @property
    def blank(self) -> bool:
        """Whether it has a single colour, or cannot be read."""
        return self.thumbnail is None or float(self.thumbnail.std()) < BLANK


def see_all(images: Images) -> list[Seen]:
    """Decode every image completely, with one thread per core."""
    with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
        warnings.simplefilter("ignore")  # Pillow warns about the very files that the report lists
        return list(track(pool.map(see, images), "Looking at images", len(images)))


def see(source: Path | Pixels) -> Seen:
    """Decode an image and describe what is unusual about it; never raises for a bad file."""
    if isinstance(source, np.ndarray):
        return _look(Image.fromarray(source), [])
    size = None
    try:
        with Image.open(source, formats=tuple(FORMATS)) as image:
            size = image.size
            if size[0] * size[1] > MAX_PIXELS:
                return Seen((("huge", f"{size[0]} x {size[1]} pixels"),), size)
            kinds = list(_of_the_file(image, source))
            image.draft("RGB" if image.mode == "RGB" else None, (4 * THUMBNAIL, 4 * THUMBNAIL))
            image.load()
            return _look(image, kinds, size)
    except Exception as error:  # Pillow raises almost any exception on a damaged file
        return Seen(((_why(source, error, size), reason(error)),), size)


def _why(source: Path, error: Exception, size: tuple[int, int] | None) -> str:
    """Distinguish a truncated file from one that never was an image."""
    cut = size is not None and ("truncated" in str(error) or "not enough" in str(error) or isinstance(error, EOFError))
    return "truncated" if cut and not isinstance(error, UnidentifiedImageError) else "unreadable"


def _of_the_file(image: Image.Image, path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix.lower() not in FORMATS.get(image.format or "", ()):
        yield "wrong suffix", f"its content is {image.format}"
    if getattr(image, "n_frames", 1) > 1:
        yield "animated", f"{getattr(image, 'n_frames', 1)} images in one file"
    if image.mode.startswith("I") or image.mode == "F":
        yield "16 bit", f"mode {image.mode}"
    elif image.mode in _MODES:
        yield _MODES[image.mode], f"mode {image.mode}"


def _look(image: Image.Image, kinds: list[tuple[str, str]], size: tuple[int, int] | None = None) -> Seen:
    grey = image.mode in _GREY
    if image.mode.startswith("I") or image.mode == "F":  # Pillow would clip values above 255
        values = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((255 * values / max(1.0, float(values.max()))).astype(np.uint8))
    # A box filter would turn fine lines into moiré patterns that differ with the size an image is saved in.
    small = np.asarray(image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC))
    seen = Seen(tuple(kinds), size or image.size, grey, small)
    return Seen((*seen.kinds, ("blank", "one colour")), seen.size, grey, small) if seen.blank else seen


def findings(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Yield the findings about single images by kind, those that stop a run first."""
    items: dict[str, list[Item]] = {kind: [] for kind in MEANING}
    for row, one in enumerate(seen):
        for kind, detail in one.kinds:
            items[kind].append(Item((row,), detail))
    for row in _odd_ones(seen):
        items["grey" if seen[row].grey else "coloured"].append(Item((row,), "unlike most others"))
    for kind, found in items.items():
        if found:
            level, text = MEANING[kind]
            yield Finding(kind, level, text, tuple(found))


def _odd_ones(seen: Sequence[Seen]) -> list[int]:
    """Return the rows of the grey images among mostly coloured ones, or the other way round."""
    number = Counter(one.grey for one in seen if one.grey is not None)
    rarer = number[True] <= number[False]
    return [row for row, one in enumerate(seen) if one.grey is rarer] if min(number[True], number[False]) else []


def sizes(seen: Sequence[Seen]) -> str:
    """Summarise smallest, median and largest width and height in one sentence."""
    found = np.array([one.size for one in seen if one.size is not None])
    if not len(found):
        return "No image could be read."
    low, middle, high = (q.astype(int) for q in np.quantile(found, (0, 0.5, 1), axis=0))
    if (low == high).all():
        return f"All images have {low[0]} x {low[1]} pixels."
    aspect = (found.max(1) / found.min(1)).max()
    return (
        f"Width {low[0]} to {high[0]} pixels, median {middle[0]}; height {low[1]} to {high[1]}, median {middle[1]}; "
        f"longer over shorter side at most {aspect:.3g}."
    )
