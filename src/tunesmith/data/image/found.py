"""The images that a prediction is asked for: one, a folder, a glob, or those of a table."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tunesmith.data.image.decode import SUFFIXES
from tunesmith.errors import DataError


def find_files(source: str, trained: Mapping[str, Any] | None = None, skip: bool = False) -> list[Path]:
    """Find the images that ``input`` means.

    Args:
        source: An image, a folder (searched whole), a glob, or a table (.csv, .parquet) with a column ``file``, whose
            relative paths count from the table's folder, or with the column of paths that the run was trained with.
        trained: The run's ``data``: where it was a table, ``path`` is its column and ``root``, where that was given,
            what its relative paths count from.
        skip: Whether files of a table that are not there are listed all the same.

    Returns:
        Sorted for a folder or a glob, in the table's order for a table.

    Raises:
        DataError: Nothing is there, or the table has no such column.
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


def _listed(path: Path, trained: Mapping[str, Any]) -> list[Path]:
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)
    own, root = (trained.get("path"), trained.get("root")) if "path" in trained else (None, None)
    for name, folder in ((own, root), ("file", None)):
        if name in table.columns:
            start = path.parent if folder is None else Path(folder).expanduser()
            return [start / str(cell).strip() for cell in table[name]]
    wanted = " or ".join(f"'{name}'" for name in dict.fromkeys(("file", own)) if name)
    raise DataError(f"Expected a column {wanted} in {path} but got {', '.join(map(str, table.columns))}.")
