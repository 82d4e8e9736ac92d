"""Read ELPV: electroluminescence images of solar cells with their probability of a defect.

2,624 grey images of 300 x 300 pixels, cut from 44 modules, with the defect probability by experts: 0, 1/3, 2/3 or 1.
From the package ``elpv-dataset``, which contains them.

Licence of the data: CC BY-NC-SA 4.0 (attribution, no commercial use, share alike). Sources: Buerhop-Lutz et al., "A
Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery", EU PVSEC 2018, doi
10.4229/35thEUPVSEC20182018-5CV.3.15; Deitsch et al., "Automatic Classification of Defective Photovoltaic Module Cells
in Electroluminescence Images", Solar Energy 185, 2019, doi 10.1016/j.solener.2019.02.067.
"""

from __future__ import annotations

import itertools
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from tunesmith.data.arguments import ImageArguments
from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Floats, Ints, Strings, Table
from tunesmith.errors import DataError, MissingExtraError

NAMES = {
    "binary": ("functional", "defective"),
    "four": ("functional", "possibly_defective", "probably_defective", "defective"),
    "ordinal": ("functional", "possibly_defective", "probably_defective", "defective"),
    "probability": ("defect_probability",),
}
"""Names of the classes in the order of the defect probability (``binary``: threshold 0.5), or of the value."""

KINDS = {"binary": "class", "four": "class", "ordinal": "ordinal", "probability": "value"}
"""Kind of target."""


class SolarCells(ImageData):
    """ELPV solar cells.

    Cells of one module resemble each other, so accuracy is too high for new modules if single cells are split. The data
    do not state the modules; a group is therefore a block of neighbouring files, see `blocks`.

    Args:
        root: Folder with ``labels.csv`` and ``images/``; ``None`` for the package's.
        classes: ``binary`` (defect probability 0.5 or more); ``four``: one per probability; ``ordinal``: the same four
            in order; or ``probability``: no classes, but the probability as a value.
        group_block: Approximate number of cells per group.
        **common: Arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        classes: Literal["binary", "four", "ordinal", "probability"] = "binary",
        group_block: int = 60,
        **common: Unpack[ImageArguments],
    ) -> None:
        super().__init__(**common)
        if group_block < 1:
            raise DataError(f"Expected group_block to be at least 1 but got {group_block}.")
        self.root = root
        self.classes = classes
        self.group_block = group_block

    def load(self) -> Table:
        """Read the labels.

        Raises:
            MissingExtraError: No root is given and the package is not installed.
            DataError: The labels are missing or malformed.
        """
        root = _package_data() if self.root is None else Path(self.root).expanduser()
        names, probability, kind = _read_labels(root / "labels.csv")
        targets: Ints | Floats = np.rint(probability * 3).astype(np.int64)
        if self.classes == "binary":
            targets = (probability >= 0.5).astype(np.int64)
        elif self.classes == "probability":
            targets = probability[:, None].astype(np.float32)
        return Table(
            samples=[root / name for name in names],
            targets=targets,
            class_names=NAMES[self.classes],
            kind=KINDS[self.classes],
            names=names,
            channels=1,
            groups=blocks(kind, self.group_block),
            group_unit=f"block of about {self.group_block} neighbouring cells of one type, in place of the module",
            guessed=True,
        )


def blocks(kind: Strings, size: int) -> Ints:
    """Number the blocks of neighbouring files that stand for modules.

    A module has cells of one type, so a block ends where the type changes; a rest of less than half a block joins the
    block before it. A size of 60 gives 44 blocks, 18 monocrystalline and 26 polycrystalline: the number of modules in
    ELPV. It remains a guess, since cells that are missing from ELPV shift the borders.

    Args:
        kind: Cell type of each file ``(N,)``, in the order of the files.
        size: Cells per block.

    Returns:
        Block of each file ``(N,)``.
    """
    starts = [0, *(np.flatnonzero(kind[1:] != kind[:-1]) + 1).tolist(), len(kind)]
    groups, first = np.empty(len(kind), np.int64), 0
    for start, end in itertools.pairwise(starts):
        count = max(1, (end - start + size // 2) // size)
        groups[start:end] = first + np.minimum(np.arange(end - start) // size, count - 1)
        first += count
    return groups


def _package_data() -> Path:
    found = find_spec("elpv_dataset")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("elpv-dataset", "demo")
    return Path(found.submodule_search_locations[0]) / "data"


def _read_labels(file: Path) -> tuple[Strings, NDArray[np.float64], Strings]:
    if not file.is_file():
        raise DataError(f"Expected labels at {file} but there is no such file; set data.root to the folder it is in.")
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    try:
        rows = sorted((name, float(probability), kind) for name, probability, kind in lines)
    except ValueError as err:
        raise DataError(f"Expected lines of path, probability and type in {file} but got: {err}.") from err
    value = np.array([row[1] for row in rows])
    if (
        not len(rows)
        or not np.isclose(value * 3, np.rint(value * 3), atol=1e-3).all()
        or value.min() < 0
        or value.max() > 1
    ):
        raise DataError(f"Expected probabilities 0, 1/3, 2/3 or 1 in {file} but got others, or none.")
    return np.array([row[0] for row in rows]), value, np.array([row[2] for row in rows])
