"""Predict on files with a finished run; the files are prepared as its evaluation pictures were."""

from __future__ import annotations

import glob
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from rich.console import Console

from tunesmith.config.build import build
from tunesmith.data.decode import SUFFIXES
from tunesmith.errors import DataError
from tunesmith.run.predictions import Predictions
from tunesmith.run.quiet import quiet
from tunesmith.run.rebuild import rebuild, trainer_for
from tunesmith.run.saved import shorten


def predict(cfg: DictConfig) -> Predictions:
    """Predict on files and write a table: file, label, one column of probability a class; or a column a value.

    Args:
        cfg: ``run``, ``input``, ``output``, ``checkpoint``, ``batch_size``.

    Raises:
        RunError: The run folder cannot be used.
        DataError: There are no files, or one cannot be read.
    """
    output = Path(cfg.output).expanduser()
    if output.suffix not in (".csv", ".parquet"):
        raise DataError(f"Expected output to end in .csv or .parquet but got '{cfg.output}'.")
    if not output.absolute().parent.is_dir():
        raise DataError(f"Expected the folder of output to be there but {output.absolute().parent} is not.")
    files = find_files(cfg.input)
    with quiet():
        found = rebuild(cfg.run, cfg.checkpoint)
        found.cfg.data.batch_size = cfg.batch_size
        data = build(found.cfg.data)
        data.connect(found.preprocess)
        data.predict_on(files, found.spec)
        trainer = trainer_for(found, cfg.accelerator, [])
        steps = trainer.predict(found.task, datamodule=data)
    assert steps is not None
    values = torch.cat([step["predictions"].cpu() for step in steps])  # type: ignore[call-overload]  # our predict_step
    labels, spec = found.task.labels(values).numpy(), found.spec
    predictions = Predictions(list(map(str, files)), values.numpy(), labels, spec.class_names, kind=spec.target)
    predictions.save(output)
    console = Console()
    for line in summary(predictions):
        console.print(line, highlight=False)
    console.print(f"Predictions of {len(files):,} files are in {shorten(output)}", highlight=False)
    return predictions


def summary(predictions: Predictions) -> list[str]:
    """How often each class or label was predicted, or between what and what each value."""
    found, names = predictions.labels, predictions.class_names
    if predictions.kind == "value":
        ends = zip(names, found.min(axis=0), np.median(found, axis=0), found.max(axis=0), strict=True)
        return [f"{name}: {low:.4g} to {high:.4g}, median {middle:.4g}" for name, low, middle, high in ends]
    counts = found.sum(axis=0) if found.ndim == 2 else np.bincount(found, minlength=len(names))
    return [f"{counts[k]:>7,} {names[k]}" for k in np.argsort(-counts, kind="stable") if counts[k]]


def find_files(source: str) -> list[Path]:
    """Find the pictures that ``input`` means.

    Args:
        source: A picture, a folder (searched whole), a glob, or a table (.csv, .parquet) with a column ``file``, whose
            relative paths count from the table's folder.

    Returns:
        Sorted for a folder or a glob, in the table's order for a table.

    Raises:
        DataError: Nothing is there, or the table has no such column.
    """
    path = Path(source).expanduser()
    if path.suffix in (".csv", ".parquet") and path.is_file():
        files = _listed(path)
    elif path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    else:
        files = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())  # noqa: PTH207 - Path.glob takes no absolute pattern
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise DataError(f"Expected every file in {source} to be there but {len(missing)} are not, first {missing[0]}.")
    if not files:
        raise DataError(
            f"Expected pictures at '{source}' but found none: give a folder, a glob, or a .csv or .parquet."
        )
    return files


def _listed(path: Path) -> list[Path]:
    table = pd.read_csv(path, dtype={"file": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    if "file" not in table.columns:
        raise DataError(f"Expected a column 'file' in {path} but got {', '.join(map(str, table.columns))}.")
    return [path.parent / str(name) for name in table["file"]]
