"""Find the images to predict on: one, a folder, a glob, or those of a table."""

from __future__ import annotations

import glob
from pathlib import Path

import pandas as pd

from tunesmith.contract.plain import PlainData
from tunesmith.data.image.decode import SUFFIXES
from tunesmith.errors import DataError


def find_files(source: str, trained: PlainData | None = None, skip: bool = False) -> list[Path]:
    """Find the images that the command's ``input`` describes.

    Args:
        source: An image, a folder (searched recursively), a glob, or a table (.csv, .parquet) with a column ``file`` of
            paths relative to the table's folder, or with the run's own column of paths.
        trained: The ``data`` of the run's configuration; of a table, ``path`` is the column and ``root`` the folder of
            relative paths.
        skip: Whether to list missing files of a table, rather than raise an error.

    Returns:
        The files, sorted; those of a table in its order.

    Raises:
        DataError: There are no images, or the table has no such column.
    """
    path = Path(source).expanduser()
    if path.suffix in (".csv", ".parquet") and path.is_file():
        files = _listed(path, trained or {})
    elif path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    else:
        files = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())  # noqa: PTH207 - Path.glob takes no absolute pattern
    missing = [str(file) for file in files if not file.is_file()]
    if missing and not skip:
        raise DataError(f"Expected every file in {source} to be there but {len(missing)} are not, first {missing[0]}.")
    if not files:
        raise DataError(f"Expected images at '{source}' but found none: give a folder, a glob, or a .csv or .parquet.")
    return files


def _listed(path: Path, trained: PlainData) -> list[Path]:
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)
    own, root = (trained.get("path"), trained.get("root")) if "path" in trained else (None, None)
    for name, folder in ((own, root), ("file", None)):
        if name in table.columns:
            start = path.parent if folder is None else Path(folder).expanduser()
            return [start / str(cell).strip() for cell in table[name]]
    wanted = " or ".join(f"'{name}'" for name in dict.fromkeys(("file", own)) if name)
    raise DataError(f"Expected a column {wanted} in {path} but got {', '.join(map(str, table.columns))}.")
