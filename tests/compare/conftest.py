"""Run folders that were never run: only what a comparison reads of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

NAMES = ("a", "b")


def write_run(
    folder: Path,
    value: float | None = 0.5,
    seed: int = 0,
    overrides: tuple[str, ...] = (),
    predicted: dict[str, tuple[str, str]] | None = None,
    **changes: Any,
) -> Path:
    """Write a run.json, and the predictions as {file: (target, label)}."""
    words = [f"seed={seed}", *overrides]
    record = {
        "schema": 1,
        "id": folder.name,
        "status": "completed",
        "started": f"2026-01-01T00:00:00.{folder.name[-3:]}",
        "process": {},
        "command": " ".join(["tunesmith", "train", *words]),
        "overrides": words,
        "choices": {"data": "digits", "head": "linear", "logger": "none"},
        "seed": seed,
        "git": {},
        "packages": {"torch": "2"},
        "hardware": {},
        "data": {
            "fingerprint": "content:1",
            "split_unit": "sample",
            "members": {"test": "x"},
            "class_names": list(NAMES),
            "target": "class",
            "splits": {"train": {"a": 2, "b": 2}, "test": {"a": 1, "b": 1}},
        },
        "metrics": {} if value is None else {"test/accuracy": value, "test/loss": 1 - value},
        "monitor": {"metric": "val/accuracy", "mode": "max"},
        "timing": {"import": 9.0, "assemble": 1.0, "fit": 2.0, "test": 0.5, "samples_per_second": 100.0},
        "error": None,
    }
    for key, change in changes.items():
        record[key] = (
            {**record[key], **change} if isinstance(change, dict) and isinstance(record.get(key), dict) else change
        )
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    if predicted:
        targets, labels = zip(*predicted.values(), strict=True)
        table = pa.table({"file": list(predicted), "target": list(targets), "label": list(labels)})
        pyarrow.parquet.write_table(table, folder / "predictions.parquet")
    return folder


@pytest.fixture
def add(tmp_path: Path) -> Callable[..., Path]:
    """Add a run to ``logs`` in the test's folder; the later, the later it was started."""
    count = iter(range(1000))
    return lambda *args, **kwargs: write_run(tmp_path / "logs" / f"run-{next(count):03d}", *args, **kwargs)
