"""Log to Weights & Biases: offline without a key, one W&B run per run with the same id, without secrets.

Only `wandb_logger` imports wandb, which takes a second; the other functions do nothing unless it was imported.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import DummyLogger
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from tunesmith.compat.omegaconf import plain
from tunesmith.modality.base import of
from tunesmith.run.evaluation.outcome import Outcome
from tunesmith.run.logger.wandb_run import Arguments, begin, end, log_tables
from tunesmith.run.record.record import is_main
from tunesmith.run.record.schema import Record

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

RECORDED = ("choices", "overrides", "git", "packages", "hardware")
"""Sections of run.json in W&B's configuration; those of `describe.describe` follow once they are known."""


def wandb_logger(
    folder: Path,
    record: Record,
    project: str = "tunesmith",
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    group: str | None = None,
    entity: str | None = None,
) -> Logger:
    """Start the W&B run with the full redacted configuration; only on the first rank.

    Args:
        folder: Run folder; W&B's files go to its ``wandb/``.
        record: Content of run.json.
        project: W&B project.
        mode: ``auto`` is online if ``WANDB_API_KEY`` is set, else offline.
        group: W&B group; ``None`` for the name of the run's sweep, if any.
        entity: W&B user or team.
    """
    if not is_main():
        return DummyLogger()
    config = plain(DictConfig(OmegaConf.load(folder / "config.yaml")))
    arguments: Arguments = {
        "project": project,
        "entity": entity,
        "group": group or record.get("sweep"),
        "job_type": "train",
        "id": record["id"],
        "resume": "allow",  # a resumed run is the same run; steps after its checkpoint appear twice
        "name": f"{record['name']}-{record['id']}",
        "dir": folder,
        "tags": list(record["tags"]),
        "config": {"config": config, **{key: record.get(key) for key in RECORDED}, **flat(record)},
    }
    return WandbLogger(experiment=begin(mode, arguments))


def flat(record: Record) -> dict[str, object]:
    """Return choices and overrides as one key each, by which W&B can filter and group."""
    typed = (word.lstrip("+~").partition("=") for word in record["overrides"])
    choices: dict[str, object] = {f"choice/{group}": option for group, option in record["choices"].items()}
    return choices | {f"override/{key}": value for key, equals, value in typed if equals}


@contextlib.contextmanager
def finished() -> Iterator[None]:
    """End the process's W&B run, if any, as failed if the block raises."""
    try:
        yield
    except BaseException:
        _finish(1)
        raise
    _finish(0)


def _run() -> Run | None:
    wandb = sys.modules.get("wandb")
    found: Run | None = None if wandb is None else wandb.run
    return found


def _finish(exit_code: int) -> None:
    run = _run()
    if run is not None:
        end(run, exit_code)


def log_outcome(
    outcome: Outcome, images: Sequence[Path], mistakes: Sequence[tuple[str, NDArray[np.uint8] | str]], modality: str
) -> None:
    """Log charts, tables and images of a tested split to the process's W&B run, if any.

    Args:
        outcome: The tested split with predictions.
        images: Paths of the plots.
        mistakes: Caption and image ``(H, W, C)``, or text, of the worst mistakes.
        modality: Name of the samples' modality.
    """
    run = _run()
    if run is None:
        return
    wandb = sys.modules["wandb"]
    log_tables(
        run,
        {
            **outcome.predictions.charts(wandb.plot, wandb.Table),
            "per_class": wandb.Table(dataframe=outcome.predictions.by_class()),
            **{f"plots/{path.stem}": wandb.Image(str(path)) for path in images},
            "mistakes": of(modality).gallery(mistakes, wandb) if mistakes else [],
        },
    )
    run.summary.update({f"majority/{k}": v for k, v in outcome.majority.items()})


def summarise(metrics: Mapping[str, float]) -> None:
    """Write the run's metrics to the summary of the process's W&B run, if any."""
    run = _run()
    if run is not None:
        run.summary.update(dict(metrics))


def address() -> Path | str | None:
    """Return the W&B run's page if online, its folder if offline; ``None`` without a run."""
    run = _run()
    if run is None or run.disabled:
        return None
    return str(run.url) if run.settings.mode == "online" else Path(run.dir).parent
