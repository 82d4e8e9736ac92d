"""Evaluate a finished run on a split of its own data, or of other data with the same classes, labels or values."""

from __future__ import annotations

import json
from datetime import datetime

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from tunesmith.atomic import write_text
from tunesmith.contracts import DataSpec
from tunesmith.errors import DataError
from tunesmith.run import plot, report
from tunesmith.run.assemble import assemble_data
from tunesmith.run.callback import Collect
from tunesmith.run.outcome import Outcome, test_split
from tunesmith.run.quiet import quiet
from tunesmith.run.rebuild import rebuild, trainer_for


def evaluate(cfg: DictConfig) -> Outcome:
    """Test a run's weights and leave metrics, predictions and plots in ``evaluations/`` in its folder.

    Args:
        cfg: ``run``, ``split``, ``checkpoint`` and, for other data, ``data``.

    Raises:
        RunError: The run folder cannot be used.
        DataError: The data have other classes than the run's, or no such split.
    """
    with quiet():
        found = rebuild(cfg.run, cfg.checkpoint)
        console = Console()
        other = OmegaConf.select(cfg, "data")  # there only where the user named some
        data = assemble_data(other or found.cfg.data, found.preprocess)
        _compare(found.spec, data.spec)
        if other is None and data.spec.fingerprint != found.spec.fingerprint:
            console.print("[yellow]The data are not what the run was trained on: their fingerprint is another.[/]")
        collect = Collect()
        trainer = trainer_for(found, cfg.accelerator, [collect])
        outcome = test_split(data, found.task, trainer, collect, cfg.checkpoint, cfg.split)
        now = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S-%f")
        folder = found.folder / "evaluations" / f"{now}-{cfg.split}"
        folder.mkdir(parents=True)
        write_text(folder / "evaluation.json", json.dumps(report.as_plain(outcome), indent=1) + "\n")
        report.save(outcome, folder)
        pictures = plot.draw_all(folder, outcome.predictions, None)
        console.print(*report.tables(outcome, found.task.decision))
        console.print(report.places({"evaluation": folder}, pictures))
    return outcome


def _compare(expected: DataSpec, got: DataSpec) -> None:
    words = {"class": "classes", "multilabel": "labels", "value": "values", "ordinal": "classes in an order"}
    kinds = [words[spec.target] for spec in (expected, got)]
    if expected.target != got.target:
        raise DataError(f"Expected data with {kinds[0]}, as the run was trained on, but got {kinds[1]}.")
    if expected.class_names != got.class_names:
        names = [", ".join(spec.class_names) for spec in (expected, got)]
        raise DataError(f"Expected the {kinds[0]} that the run was trained on ({names[0]}) but got {names[1]}.")
