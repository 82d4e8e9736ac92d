"""Predict on files or texts with a finished run; they are prepared as its evaluation samples were."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.fabric.utilities.apply_func import move_data_to_device
from omegaconf import DictConfig
from torch import Tensor

from tunesmith.config.build import build
from tunesmith.config.overlay import overlaid
from tunesmith.data.image.bad_files import why_unreadable
from tunesmith.data.image.decode import SUFFIXES, Decode, channels_for
from tunesmith.errors import DataError
from tunesmith.run.assembly.rebuild import Rebuilt, rebuild, trainer_for
from tunesmith.run.callback.callback import joined
from tunesmith.run.evaluation import sequences
from tunesmith.run.evaluation.predictions import Predictions, Sequences
from tunesmith.run.evaluation.texts import find_questions, find_texts
from tunesmith.run.exclusive import exclusive
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.session import Session


def predict(cfg: DictConfig, session: Session | None = None) -> Predictions | Sequences:
    """Predict and write a table: file or text, label, one column of probability a class; or a column a value.

    Of tags it has a row an entity, of questions one an answer.

    Args:
        cfg: ``run``, ``input``, ``output``, ``checkpoint``, ``batch_size``, ``on_bad_file``.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.

    Raises:
        RunError: The run folder cannot be used.
        DataError: There are no files, or one cannot be read and none is to be skipped, or none can be.
    """
    session = session or Session.read()
    output = Path(cfg.output).expanduser()
    if output.suffix not in (".csv", ".parquet"):
        raise DataError(f"Expected output to end in .csv or .parquet but got '{cfg.output}'.")
    if not output.absolute().parent.is_dir():
        raise DataError(f"Expected the folder of output to be there but {output.absolute().parent} is not.")
    with exclusive(session.stop), session.watches.explained():
        found = rebuild(cfg.run, cfg.checkpoint, session.trust)
        asked = _texts(cfg, found) if found.spec.input == "text" else _images(cfg, found)
        data = build(overlaid(found.cfg.data, {"batch_size": cfg.batch_size}), session.trust)
        data.watches = session.watches
        data.connect(found.preprocess)
        data.predict_on(asked.samples, found.spec)
        trainer = trainer_for(found, cfg.accelerator, [])
        steps = trainer.predict(found.task, datamodule=data)
    assert steps is not None
    said = joined([move_data_to_device(step, "cpu") for step in steps])
    predictions: Predictions | Sequences
    if found.spec.ragged:
        predictions = sequences.predicted(found.task, data, asked.names, said)
    else:
        predictions = _predictions(found, asked, said["predictions"])
    predictions.save(output)
    console = session.console
    for line in predictions.summary if isinstance(predictions, Sequences) else summary(predictions):
        console.print(line, highlight=False)
    for name, why in asked.skipped.values():
        console.print(f"Skipped {name}: {why}", style="yellow", highlight=False, markup=False)
    rest = f"; {len(asked.skipped):,} could not be read, and their rows are empty" if asked.skipped else ""
    what = f"{len(asked.names):,} {predictions.column}{'s' * (len(asked.names) != 1)}"
    console.print(f"Predictions of {what} are in {shorten(output)}{rest}", highlight=False)
    return predictions


@dataclass(frozen=True)
class Asked:
    """What to predict on.

    Attributes:
        samples: Files, or texts.
        names: What they are called in the saved table.
        skipped: Name of each file that is left out, and why, by its row in that table.
    """

    samples: Sequence[Any]
    names: list[str]
    skipped: Mapping[int, tuple[str, str]] = field(default_factory=dict)


def _predictions(found: Rebuilt, asked: Asked, values: Tensor) -> Predictions:
    spec = found.spec
    return Predictions(
        asked.names,
        values.numpy(),
        found.task.labels(values).numpy(),
        spec.class_names,
        kind=spec.target,
        skipped={i: name for i, (name, _) in asked.skipped.items()},
        column="text" if spec.input == "text" else "file",
    )


def _images(cfg: DictConfig, found: Rebuilt) -> Asked:
    everything = find_files(cfg.input, found.cfg.data, cfg.on_bad_file == "skip")
    bad = _bad(everything, found, cfg.on_bad_file == "skip")
    files = [file for i, file in enumerate(everything) if i not in bad]
    return Asked(files, list(map(str, files)), {i: (str(everything[i]), why) for i, why in bad.items()})


def _texts(cfg: DictConfig, found: Rebuilt) -> Asked:
    texts = find_questions(cfg.input) if found.spec.target == "span" else find_texts(cfg.input, found.cfg.data)
    return Asked(texts, ["\t".join(parts) for parts in texts])


def _bad(files: Sequence[Path], found: Rebuilt, skip: bool) -> dict[int, str]:
    """Positions of the files that cannot be read, and why: before the model runs, so that nothing is lost by them."""
    preprocess: Any = found.preprocess
    front = Decode(preprocess.size, channels_for(preprocess, found.spec), preprocess.interpolation)
    bad = {i: why for i, why in enumerate(why_unreadable(files, front)) if why is not None}
    if bad and (not skip or len(bad) == len(files)):
        first, why = next(iter(bad.items()))
        way_out = "" if skip else "; on_bad_file=skip predicts on the others"
        raise DataError(
            f"Expected {'some' if skip else 'only'} readable images but {len(bad)} of {len(files)} are not, "
            f"first {files[first]}: {why}{way_out}."
        )
    return bad


def summary(predictions: Predictions) -> list[str]:
    """How often each class or label was predicted, or between what and what each value."""
    found, names = predictions.labels, predictions.class_names
    if predictions.kind == "value":
        ends = zip(names, found.min(axis=0), np.median(found, axis=0), found.max(axis=0), strict=True)
        return [f"{name}: {low:.4g} to {high:.4g}, median {middle:.4g}" for name, low, middle, high in ends]
    counts = found.sum(axis=0) if found.ndim == 2 else np.bincount(found, minlength=len(names))
    return [f"{counts[k]:>7,} {names[k]}" for k in np.argsort(-counts, kind="stable") if counts[k]]


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
