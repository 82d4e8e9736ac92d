"""Evaluate a finished run on a split of its own data, or of other data with the same classes, labels or values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from omegaconf import DictConfig, OmegaConf

from tunesmith.atomic import write_text
from tunesmith.contract.spec import DataSpec
from tunesmith.data.module import TableData
from tunesmith.data.spec import members
from tunesmith.errors import DataError
from tunesmith.run.assembly.assemble import assemble_data, introduce
from tunesmith.run.assembly.rebuild import Rebuilt, rebuild, trainer_for
from tunesmith.run.callback.callback import Collect
from tunesmith.run.evaluation import plot
from tunesmith.run.evaluation.outcome import Outcome, test_split
from tunesmith.run.exclusive import exclusive
from tunesmith.run.record import report
from tunesmith.run.resume.changed import regrouped
from tunesmith.run.session import Session
from tunesmith.target.base import of


def evaluate(cfg: DictConfig, session: Session | None = None) -> Outcome:
    """Test a run's weights and write metrics, predictions and plots to ``evaluations/`` in its folder.

    Args:
        cfg: ``run``, ``split``, ``checkpoint`` and, for other data, ``data``.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        RunError: The run folder cannot be used.
        DataError: The data have other targets than the run's, or no such split.
    """
    session = session or Session.read()
    with exclusive(session.stop), session.watches.explained():
        found = rebuild(cfg.run, cfg.checkpoint, session.trust)
        console = session.console
        other = OmegaConf.select(cfg, "data")  # present only if given
        data = (
            assemble_data(found.cfg.data, found.preprocess, "test", session=session)
            if other is None
            else _other(other, found, cfg.split, session)
        )
        _compare(found.spec, data.spec)
        introduce(found.task, data)
        for sentence in _doubts(found, data, other is None, cfg.split):
            console.print(sentence, style="yellow", highlight=False)
        collect = Collect()
        trainer = trainer_for(found, cfg.accelerator, [collect])
        outcome = test_split(data, found.task, trainer, collect, found.weights, cfg.split)
        now = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S-%f")
        folder = found.folder / "evaluations" / f"{now}-{cfg.split}"
        folder.mkdir(parents=True)
        write_text(folder / "evaluation.json", json.dumps(report.as_plain(outcome), indent=1) + "\n")
        report.save(outcome, folder)
        images = plot.draw_all(folder, outcome.predictions, None)
        console.print(*report.tables(outcome, found.task.calibration))
        console.print(report.places({"evaluation": folder}, images))
    return outcome


def _doubts(found: Rebuilt, data: TableData, own: bool, split: str) -> Iterator[str]:
    """Warn if the run's own data have changed, and report how many samples of other data are tested."""
    same = data.spec.fingerprint == found.spec.fingerprint
    if own and not same:
        yield "The data have changed since the run was trained: their fingerprint differs."
    if not own:
        yield from _share(data, split)
    if (own or same) and (moved := regrouped(found.record["data"], members(data.table, data.indices))):
        yield (
            "The data are split differently than in training, so the test may contain training samples: "
            f"other {data.table.what} are in {' and '.join(moved)}."
        )


def _other(node: DictConfig, found: Rebuilt, split: str, session: Session) -> TableData:
    """Read other data than the run's; data without splits are tested whole unless ``data.split`` is given."""
    chosen = any(word.lstrip("+~").startswith("data.split") for word in session.typed.overrides)
    if chosen or OmegaConf.select(node, "split") is None:
        return assemble_data(node, found.preprocess, "test", session=session)
    undivided = node.copy()
    OmegaConf.update(undivided, "split", {"val": 0, "test": 0})
    data = assemble_data(undivided, found.preprocess, "test", session=session)
    if data.table.folders is not None or data.spec.fingerprint == found.spec.fingerprint:
        # They have their own splits, or the run was trained on some of them.
        return assemble_data(node, found.preprocess, "test", session=session)
    data.indices = {split: data.indices["train"]}
    return data


def _share(data: TableData, split: str) -> Iterator[str]:
    """Report how many samples of other data are tested."""
    tested, total = len(data.indices.get(split, ())), len(data.table)
    if tested == total:
        yield f"All {total:,} {data.table.what} are tested; use data.split.test=0.25, say, to test a share of them."
    elif tested:
        part = f"the {split} part of a split by {data.spec.split_unit}"
        yield f"{tested:,} of {total:,} {data.table.what} are tested: {part}."


def _compare(expected: DataSpec, got: DataSpec) -> None:
    kinds = [of(spec.target).plural for spec in (expected, got)]
    if expected.target != got.target:
        raise DataError(f"Expected data with {kinds[0]}, as the run was trained on, but got {kinds[1]}.")
    if expected.class_names != got.class_names:
        names = [", ".join(spec.class_names) for spec in (expected, got)]
        raise DataError(f"Expected the {kinds[0]} that the run was trained on ({names[0]}) but got {names[1]}.")
