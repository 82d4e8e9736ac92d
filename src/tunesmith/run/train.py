"""Train: from a configuration to a run folder with weights, metrics and plots."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf

from tunesmith.atomic import atomic
from tunesmith.cache.callback import ActivationCache
from tunesmith.config.overlay import overlaid
from tunesmith.config.redact import redact
from tunesmith.data.listing import LISTING, listing
from tunesmith.errors import NonFiniteError, StoppedError
from tunesmith.run.assembly import init_weights, memory
from tunesmith.run.assembly.allocator import keep_freed_memory
from tunesmith.run.assembly.assemble import Parts, assemble
from tunesmith.run.assembly.describe import describe
from tunesmith.run.assembly.rebuild import keep_model
from tunesmith.run.assembly.table import phases_in_record
from tunesmith.run.callback import non_finite
from tunesmith.run.callback.phase import sentence
from tunesmith.run.evaluation import plot, weights
from tunesmith.run.evaluation.calibration import fit_calibrations
from tunesmith.run.evaluation.outcome import Outcome, best_and_last, show_mistakes, test
from tunesmith.run.exclusive import exclusive
from tunesmith.run.logger import wandb_logger
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.record import report
from tunesmith.run.record.record import Run
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.record.schema import Record
from tunesmith.run.resume import resume
from tunesmith.run.resume.checkpoint import CheckpointIO
from tunesmith.run.resume.last_checkpoint import BEFORE
from tunesmith.run.resume.requeue import requeue
from tunesmith.run.session import Session


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        folder: Run folder.
        metrics: Metrics by full name: ``test/accuracy``, ``val/loss``, ``best/val/accuracy``, …
    """

    folder: Path
    metrics: dict[str, float]


def train(cfg: DictConfig, repeats: Record | None = None, session: Session | None = None) -> Result:
    """Fine-tune as configured, test, and write everything to the run folder.

    Args:
        cfg: Full, checked configuration.
        repeats: Record of the run that this one repeats, if any.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        TunesmithError: Data, weights or policy are not as expected, which run.json records; or the run cannot be
            resumed.
    """
    session = session or Session.read()
    found = resume.find(cfg, session)
    if found and found.completed:
        session.console.print(f"Nothing to do: {shorten(found.folder)} is completed.", highlight=False)
        return Result(found.folder, found.record["metrics"])
    resumes, cfg = cfg.resume is not None, found.cfg if found else cfg
    tries = 0
    while True:
        attempt = cfg.copy()
        try:
            return fit_and_test(attempt, found, tries, repeats, session)
        except StoppedError as stopped:
            requeue(stopped, resumes)
            raise
        except NonFiniteError as error:
            if error.retry is None:
                raise
            found, tries = resume.back(Path(attempt.paths.run), cfg, error), error.retry
            session = replace(session, started=None)  # nothing is left to import


def fit_and_test(
    cfg: DictConfig, found: resume.Found | None, halvings: int, repeats: Record | None, session: Session
) -> Result:
    """Make one attempt of `train`.

    Args:
        cfg: Configuration; its ``paths.run`` is set to the run folder.
        found: Run to resume; ``None`` for a new one.
        halvings: How often to halve the learning rates because a loss was not finite.
        repeats: As for `train`.
        session: As for `train`.

    Raises:
        NonFiniteError: A loss is not finite.
    """
    with (
        exclusive(session.stop),
        Run(cfg, "train", found, repeats, session) as run,
        wandb_logger.finished(),
        memory.told(cfg, run.record),
        session.watches.explained(),
    ):
        seed_everything(cfg.seed, verbose=False)
        keep_freed_memory()
        parts = prepare(run, cfg, found, session)
        non_finite.of(parts.trainer).halvings = halvings
        with run.timed("fit"):
            checkpoint = found.checkpoint if found else None
            parts.trainer.fit(parts.task, datamodule=parts.data, ckpt_path=checkpoint, weights_only=True)
        record_phases(run, parts)
        check_frozen(run, parts)
        run.update(metrics=best_and_last(parts, run.folder))
        run.update(timing={"samples_per_second": parts.throughput.samples_per_second})
        record_cache(run, parts)

        with run.timed("test"):
            choose(run, parts, cfg.test)
            calibrations = fit_calibrations(parts, run.folder, cfg.test)
            if calibrations:
                run.update(calibration={weights: asdict(calibration) for weights, calibration in calibrations.items()})
            outcome = test(parts, run.folder, cfg.test, calibrations) if cfg.test else None
        if run.main:
            CheckpointIO().remove_checkpoint(run.folder / "checkpoints" / BEFORE)  # no longer needed
            shutil.rmtree(run.folder / "checkpoints" / "soup", ignore_errors=True)
            finish(run, parts, outcome, cfg.plots)
    return Result(run.folder, run.record["metrics"])


def prepare(run: Run, cfg: DictConfig, found: resume.Found | None, session: Session) -> Parts:
    """Assemble the run, record its parts, and print what is about to be trained.

    Raises:
        RunError: A resumed run has other data or initial weights and is not forced.
        ConfigError: The parts are incompatible.
    """
    with run.timed("assemble"):
        begun = init_weights.find(cfg.get("init_from"), cfg.get("init_strict", True), session.trust)
        parts = assemble(cfg, run.folder, run.record, begun, session)
    run.add_time("data", parts.data_seconds)
    about = describe(parts)
    if begun:
        about["init"] = begun.record()
    if found:
        start(run, found, about)
    run.update(**about)
    if parts.gradients:
        chosen = {"policy.chosen": parts.plan.model.policy["chosen"]}
        run.write("config.yaml", OmegaConf.to_yaml(redact(overlaid(cfg, chosen))))
    weights.check(cfg.test, parts)
    for logger in parts.trainer.loggers:
        logger.log_hyperparams(dict(about))
    run.write("params.tsv", parts.task.table.as_tsv())
    keep_inputs(run, parts)
    introduce(run, parts, begun)
    return parts


def introduce(run: Run, parts: Parts, begun: init_weights.Init | None) -> None:
    """Print what is about to be trained: data, parameters, and the source of the weights."""
    run.say(
        report.data_table(parts.data.counts(), parts.data.spec),
        report.parameter_table(parts.task.table, parts.task.head_fit is not None),
        *(begun.sentences() if begun else ()),
        *(parts.micro_batches.sentences() if parts.micro_batches else ()),
    )
    if parts.gradients:
        run.say(report.gradient_table(parts.gradients, parts.plan.model.policy["chosen"]))


def start(run: Run, found: resume.Found, about: Record) -> None:
    """Report where the run resumes, and refuse other data and initial weights unless forced."""
    entry, more = run.record["resumed"][-1], found.check(about)
    entry["said"] += more
    run.say(f"Resuming {shorten(run.folder)} from step {entry['step']}.", *found.said, *more)
    if found.checkpoint is None and run.main:
        MetricsLog(run.folder).cut(0)


def choose(run: Run, parts: Parts, name: str | None) -> None:
    """Derive the weights to test, and record and report the choice."""
    made = weights.make(parts, run.folder, name)
    metrics = weights.without_average(parts, run.folder, name)
    run.update(selection=made or {"weights": name}, metrics=metrics)
    run.say(*weights.sentences(made, metrics, name, parts.task.monitor))


def keep_inputs(run: Run, parts: Parts) -> None:
    """Keep the list of samples, to name those altered later, and a language model's files."""
    data = parts.data
    if run.main:
        keep_model(run.folder, parts.task)
        with atomic(run.folder / LISTING) as temporary:
            listing(data.table, data.indices, data.digests[0]).to_parquet(temporary, index=False)


def record_cache(run: Run, parts: Parts) -> None:
    """Record what the cache did, and move its seconds from ``fit`` to ``cache``."""
    for callback in parts.trainer.callbacks:
        if isinstance(callback, ActivationCache):
            run.update(cache=callback.record)
            run.add_time("cache", callback.seconds)
            run.add_time("fit", -callback.seconds)


def record_phases(run: Run, parts: Parts) -> None:
    """Record when each phase began, and report transitions at plateaus."""
    transitions = parts.phases.transitions
    if transitions:
        run.update(policy={"phases": phases_in_record(parts.task.table), "transitions": transitions})
        run.say(*(sentence(transition, parts.task.monitor) for transition in transitions))


def check_frozen(run: Run, parts: Parts) -> None:
    """Record which weights moved, and fail a run that changed frozen ones."""
    verdict = parts.self_check.verdict
    if verdict is not None:
        run.update(policy={"check": asdict(verdict)})
        run.say(*verdict.sentences())
        verdict.enforce()


def finish(run: Run, parts: Parts, outcome: Outcome | None, plots: bool) -> None:
    """Save predictions and plots, log them to W&B, and print where everything is."""
    predictions = outcome.predictions if outcome else None
    images = plot.draw_all(run.folder, predictions, parts.task.monitor) if plots else []
    if outcome:
        run.update(metrics=outcome.metrics, majority=outcome.majority)
        report.save(outcome, run.folder)
        wandb_logger.log_outcome(outcome, images, show_mistakes(parts.data, outcome), parts.data.modality)
        run.say(*report.tables(outcome, parts.task.calibration))
    wandb_logger.summarise(run.record["metrics"])
    run.say(report.places({"run folder": run.folder, "W&B run": wandb_logger.address()}, images))
