"""Weights & Biases: offline without a key, one run a run, its id ours, nothing secret in it.

wandb takes a second to import, so only `wandb_logger` does it: the others look whether it happened.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import DummyLogger
from omegaconf import OmegaConf

from tunesmith.modality.base import of
from tunesmith.run.evaluation.outcome import Outcome
from tunesmith.run.logger.wandb_run import begin, end, log_tables
from tunesmith.run.record.record import is_main

RECORDED = ("choices", "overrides", "git", "packages", "hardware")
"""Sections of run.json in W&B's configuration; those that `describe.describe` makes follow once they are known."""


def wandb_logger(
    folder: Path,
    record: Mapping[str, Any],
    project: str = "tunesmith",
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    group: str | None = None,
    entity: str | None = None,
) -> Logger:
    """Begin the W&B run, with the whole redacted configuration, on the first rank only.

    Args:
        folder: The run folder; W&B's files go into ``wandb/`` in it.
        record: What run.json holds: id, name, tags and choices are taken from it.
        project: W&B's project.
        mode: ``auto`` is online with ``WANDB_API_KEY``, else offline.
        group: W&B's group; ``None``: the sweep that the run is a job of, if it is one.
        entity: W&B's user or team.
    """
    if not is_main():
        return DummyLogger()
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=False)
    arguments = {
        "project": project,
        "entity": entity,
        "group": group or record.get("sweep"),
        "job_type": "train",
        "id": record["id"],
        "resume": "allow",  # a run that goes on is the same run; steps after its checkpoint are there twice
        "name": f"{record['name']}-{record['id']}",
        "dir": folder,
        "tags": list(record["tags"]),
        "config": {"config": config, **{key: record[key] for key in RECORDED}, **flat(record)},
    }
    return WandbLogger(experiment=begin(mode, arguments))


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Choices and overrides a key each: by these W&B filters, groups and draws."""
    typed = (word.lstrip("+~").partition("=") for word in record["overrides"])
    choices = {f"choice/{group}": option for group, option in record["choices"].items()}
    return choices | {f"override/{key}": value for key, equals, value in typed if equals}


@contextlib.contextmanager
def finished() -> Iterator[None]:
    """End the process's W&B run, if there is one, whatever happens; as failed if something did."""
    try:
        yield
    except BaseException:
        _finish(1)
        raise
    _finish(0)


def _run() -> Any | None:
    wandb = sys.modules.get("wandb")
    return None if wandb is None else wandb.run


def _finish(exit_code: int) -> None:
    run = _run()
    if run is not None:
        end(run, exit_code)


def log_outcome(outcome: Outcome, images: Sequence[Path], mistakes: Sequence[tuple[str, Any]], modality: str) -> None:
    """Log what a table of numbers cannot show, where the process has a W&B run.

    Args:
        outcome: The tested split, with its predictions: confusion matrix, ROC and precision-recall curves of classes,
            F1 and average precision of labels, predicted against true values; and the table by class.
        images: The plots.
        mistakes: Caption and image (uint8, ``(H, W, C)``), or text, of the worst mistakes.
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
    """Put what the run came to, the best values included, into W&B's summary, where the process has a W&B run."""
    run = _run()
    if run is not None:
        run.summary.update(dict(metrics))


def address() -> Path | str | None:
    """Where the W&B run is seen: its page if online, its folder if offline; ``None`` without one."""
    run = _run()
    if run is None or run.disabled:
        return None
    return str(run.url) if run.settings.mode == "online" else Path(run.dir).parent
