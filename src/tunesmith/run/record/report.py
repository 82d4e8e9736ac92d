"""Make the tables printed before and after training, and save results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from tunesmith.atomic import write_text
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.spec import DataSpec
from tunesmith.run.evaluation.outcome import Outcome
from tunesmith.run.record.run_folder import shorten
from tunesmith.target.base import of
from tunesmith.target.result.predictions import Predictions
from tunesmith.task.calibration import Calibration

FEW = 20
"""Up to this many classes are printed one by one."""

_SHARES = ("accuracy", "f1", "exact_match", "iou", "entity_precision", "entity_recall")
"""Suffixes of metrics shown in percent."""


def data_table(counts: dict[str, dict[str, int]], spec: DataSpec) -> Table:
    """Count samples by class or label, or words by tag, and split; only samples if there is nothing to count by."""
    unit = spec.group if spec.split_unit == "group" else spec.split_unit
    table = Table(title=f"Data, split by {unit}")
    kind = of(spec.target)
    table.add_column(kind.title)
    for split in counts:
        table.add_column(split, justify="right")
    table.add_column("all", justify="right")
    # run.json has the full list.
    names = list(next(iter(counts.values())))
    shown = names if len(names) <= FEW else names[:10]
    for name in shown:
        numbers = [split[name] for split in counts.values()]
        table.add_row(name, *map(str, [*numbers, sum(numbers)]))
    if len(shown) < len(names):
        table.add_row(f"… {len(names) - len(shown)} more", *[""] * (len(counts) + 1))
    if kind.total is not None:  # a sample may have several labels
        totals = [sum(split.values()) for split in counts.values()]
        table.add_section()
        table.add_row(kind.total, *map(str, [*totals, sum(totals)]))
    return table


def parameter_table(table: ParameterTable, fitted: bool = False) -> Table:
    """Summarise the parameter table, one row per stage; the caption says if the head is fitted."""
    said = "The head is fitted to the features of one epoch, without an optimizer: trainer.max_epochs is 1."
    short = Table(title="Parameters", caption=said if fitted else None)
    # Phases after a plateau may start earlier.
    certain = next((phase.first_epoch for phase in table.phases if phase.plateau), math.inf)
    for name in ("stage", "parameters", "trains from epoch", "rate ×", "weight decay"):
        short.add_column(name, justify="left" if name == "stage" else "right")
    for stage in dict.fromkeys(row.parameter.stage for row in table.rows):
        rows = [row for row in table.rows if row.parameter.stage == stage]
        epochs = sorted({-1 if row.first_epoch is None else row.first_epoch for row in rows})
        short.add_row(
            stage,
            f"{sum(row.parameter.numel for row in rows):,}",
            ", ".join("never" if epoch < 0 else f"{'≤ ' if epoch > certain else ''}{epoch}" for epoch in epochs),
            _span([row.multiplier for row in rows]),
            _span([row.weight_decay for row in rows]),
        )
    counts = table.counts(0)
    total = sum(counts.values())
    short.add_section()
    short.add_row("all", f"{total:,}", f"{counts['trainable']:,} train in epoch 0", "", "")
    return short


def gradient_table(gradients: Mapping[str, float], chosen: Sequence[str]) -> Table:
    """Show the gradients by which a policy chose its stages."""
    table = Table("stage", "relative gradient", "trains", title="Gradients before training")
    for stage, value in gradients.items():
        table.add_row(stage, f"{value:.3g}", "yes" if stage in chosen else "no")
    return table


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def tables(outcome: Outcome, calibration: Calibration) -> list[Table | str]:
    """Return the tables of a tested split: metrics, results by class if these are few, and the calibration."""
    said: list[Table | str] = [metric_table(outcome)]
    number = len(outcome.predictions.by_class())
    if outcome.predictions.least_rows <= number <= FEW:
        said.append(class_table(outcome.predictions))
    fitted = [f"temperature {calibration.temperature:.3f}"] if calibration.temperature != 1 else []
    if calibration.threshold:
        fitted.append(f"threshold {', '.join(f'{t:.3f}' for t in calibration.threshold)}")
    return [*said, f"Fitted on validation: {'; '.join(fitted)}"] if fitted else said


def metric_table(outcome: Outcome) -> Table:
    """Show metrics beside those of the constant baseline."""
    found = outcome.predictions
    table = Table(title=f"{outcome.split}, {len(found.files):,} samples, {outcome.weights} weights")
    table.add_column("metric")
    table.add_column("this model", justify="right", style="bold")
    if outcome.majority_class is not None:
        table.add_column(f"always {of(outcome.target).quoted(outcome.majority_class)}", justify="right")
    for key, value in outcome.metrics.items():
        name = key.rpartition("/")[2]
        baseline = outcome.majority.get(key)
        table.add_row(
            name.replace("_", " "),
            _number(name, value),
            *([] if outcome.majority_class is None else ["" if baseline is None else _number(name, baseline)]),
        )
    return table


def class_table(predictions: Predictions) -> Table:
    """Show precision, recall and F1 of each class or label, or the errors of each value."""
    rows = predictions.by_class()
    table = Table(title=f"By {rows.columns[0]}")
    for name in rows.columns:
        table.add_column(str(name).replace("_", " "), justify="left" if name == rows.columns[0] else "right")
    for row in rows.itertuples(index=False):
        table.add_row(*(f"{x:.3f}" if isinstance(x, float) else str(x) for x in row))
    return table


def save(outcome: Outcome, folder: Path) -> None:
    """Save predictions and, for classes, labels or values, ``per_class.tsv`` in a folder."""
    outcome.predictions.save(folder / "predictions.parquet")
    rows = outcome.predictions.by_class()
    if len(rows):
        write_text(folder / "per_class.tsv", rows.to_csv(sep="\t", index=False, float_format="%.6g"))


def _number(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name.endswith(_SHARES) else f"{value:.4f}"


def places(named: Mapping[str, Path | str | None], images: Sequence[Path]) -> Table:
    """List where everything is, one line each, without ``None``."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, place in named.items():
        if place is not None:
            table.add_row(name, shorten(place) if isinstance(place, Path) else place)
    if images:
        table.add_row("plots", f"{shorten(images[0].parent)}/: {', '.join(p.stem for p in images)}")
    return table


def as_plain(outcome: Outcome) -> dict[str, object]:
    """Convert an outcome to plain values for JSON."""
    return {
        "split": outcome.split,
        "weights": outcome.weights,
        "samples": len(outcome.predictions.files),
        "metrics": outcome.metrics,
        "majority": outcome.majority,
        "majority_class": outcome.majority_class,
    }
