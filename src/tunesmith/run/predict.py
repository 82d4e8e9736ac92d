"""Predict on files or texts with a finished run, prepared as in its evaluation."""

from __future__ import annotations

from pathlib import Path

from lightning.fabric.utilities.apply_func import move_data_to_device
from omegaconf import DictConfig

from tunesmith.config.build import build
from tunesmith.config.overlay import overlaid
from tunesmith.errors import DataError
from tunesmith.run.assembly.assemble import introduce
from tunesmith.run.assembly.rebuild import rebuild, trainer_for
from tunesmith.run.callback.callback import joined
from tunesmith.run.exclusive import exclusive
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.session import Session
from tunesmith.target.base import of
from tunesmith.target.result.predictions import Predictions


def predict(cfg: DictConfig, session: Session | None = None) -> Predictions:
    """Predict and write a table: file or text, label, and one probability column per class, or one column per value.

    For tags it has one row per entity, for questions one per answer.

    Args:
        cfg: ``run``, ``input``, ``output``, ``checkpoint``, ``batch_size``, ``on_bad_file``.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        RunError: The run folder cannot be used.
        DataError: There are no files, no file can be read, or one cannot be read and ``on_bad_file`` is not ``skip``.
    """
    session = session or Session.read()
    output = Path(cfg.output).expanduser()
    if output.suffix not in (".csv", ".parquet"):
        raise DataError(f"Expected output to end in .csv or .parquet but got '{cfg.output}'.")
    if not output.absolute().parent.is_dir():
        raise DataError(f"Expected the folder of output to be there but {output.absolute().parent} is not.")
    with exclusive(session.stop), session.watches.explained():
        found = rebuild(cfg.run, cfg.checkpoint, session.trust)
        data = build(overlaid(found.cfg.data, {"batch_size": cfg.batch_size}), session.trust)
        data.watches = session.watches
        data.connect(found.preprocess)
        asked = data.find(cfg.input, found.cfg.data, found.spec, cfg.on_bad_file == "skip")
        data.predict_on(asked.samples, found.spec)
        introduce(found.task, data)
        trainer = trainer_for(found, cfg.accelerator, [])
        steps = trainer.predict(found.task, datamodule=data)
    assert steps is not None
    said = joined([move_data_to_device(step, "cpu") for step in steps])
    predictions = of(found.spec.target).predicted(found.task, data, asked, said)
    predictions.save(output)
    console = session.console
    for line in predictions.summary():
        console.print(line, highlight=False)
    for name, why in asked.skipped.values():
        console.print(f"Skipped {name}: {why}", style="yellow", highlight=False, markup=False)
    rest = f"; {len(asked.skipped):,} could not be read, and their rows are empty" if asked.skipped else ""
    what = f"{len(asked.names):,} {predictions.column}{'s' * (len(asked.names) != 1)}"
    console.print(f"Predictions of {what} are in {shorten(output)}{rest}", highlight=False)
    return predictions
