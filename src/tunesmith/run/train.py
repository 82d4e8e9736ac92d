"""The visible run: from a configuration to a folder with weights, numbers and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import seed_everything
from omegaconf import DictConfig

from tunesmith.run import plot, report, wandb_logger
from tunesmith.run.allocator import keep_freed_memory
from tunesmith.run.assemble import Parts, assemble, describe
from tunesmith.run.outcome import Outcome, best_and_last, show_mistakes, test
from tunesmith.run.quiet import quiet
from tunesmith.run.record import Run


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        folder: The run folder.
        metrics: Flat: ``test/accuracy``, ``val/loss``, ``best/val/accuracy``, …
    """

    folder: Path
    metrics: dict[str, float]


def train(cfg: DictConfig) -> Result:
    """Fine-tune as configured, test, and leave everything in the run folder.

    Args:
        cfg: The whole configuration, checked.

    Raises:
        TunesmithError: Data, weights or policy are not as expected; the run folder then says ``failed`` and why.
    """
    with quiet(), Run(cfg, "train") as run, wandb_logger.finished():
        seed_everything(cfg.seed, verbose=False)
        keep_freed_memory()
        with run.timed("assemble"):
            parts = assemble(cfg, run.folder, run.record)
        run.update(timing={"data": round(parts.data_seconds, 3)})
        about = describe(parts)
        run.update(**about)
        for logger in parts.trainer.loggers:
            logger.log_hyperparams(about)
        run.write("params.tsv", parts.task.table.as_tsv())
        run.say(report.data_table(parts.data.counts(), parts.data.spec), report.parameter_table(parts.task.table))

        with run.timed("fit"):
            parts.trainer.fit(parts.task, datamodule=parts.data)
        run.update(metrics=best_and_last(parts, run.folder))
        run.update(timing={"images_per_second": parts.throughput.images_per_second})

        with run.timed("test"):
            outcome = test(parts, run.folder, cfg.test) if cfg.test else None
        if run.main:
            finish(run, parts, outcome)
    return Result(run.folder, run.record["metrics"])


def finish(run: Run, parts: Parts, outcome: Outcome | None) -> None:
    """Leave predictions and pictures in the folder, send them to W&B, and say where everything is."""
    pictures = plot.draw_all(run.folder, outcome.predictions if outcome else None, parts.task.monitor)
    if outcome:
        run.update(metrics=outcome.metrics, majority=outcome.majority)
        outcome.predictions.save(run.folder / "predictions.parquet")
        wandb_logger.log_outcome(outcome, pictures, show_mistakes(parts.data, outcome))
        run.say(report.metric_table(outcome))
    run.say(report.places({"run folder": run.folder, "W&B run": wandb_logger.address()}, pictures))
