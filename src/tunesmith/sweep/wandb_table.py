"""Log a sweep as a W&B run of its own: a table of its jobs, in the same group as the jobs' runs."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from tunesmith.config.redact import redact_override
from tunesmith.run.logger.wandb_run import begin, end, log_tables
from tunesmith.sweep.journal import Journal
from tunesmith.sweep.protocol import Job, Result

COLUMNS = ("job", "status", "changes", "objective", "seconds", "reason", "folder")


def log_sweep(journal: Journal, cfg: DictConfig) -> bool:
    """Log the results of the jobs, if the jobs themselves are logged by W&B.

    Args:
        journal: The sweep's record.
        cfg: Configuration of its jobs.

    Returns:
        Whether anything was logged.
    """
    node = OmegaConf.select(cfg, "logger.wandb")
    if node is None:
        return False
    import wandb

    ended = [(e.job, e.result) for _, e in sorted(journal.entries.items()) if e.result is not None]
    manifest = journal.manifest
    run = begin(
        node.get("mode", "auto"),
        {
            "project": node.get("project"),
            "entity": node.get("entity"),
            "group": node.get("group") or journal.name,
            "job_type": "sweep",
            "id": manifest["id"],
            "resume": "allow",  # a resumed sweep continues the same run
            "name": journal.name,
            "dir": journal.folder,
            "config": {"name": manifest["name"], "command": manifest["command"], "search": manifest["search"]},
        },
    )
    log_tables(run, {"jobs": wandb.Table(columns=list(COLUMNS), data=[_row(*each) for each in ended])})
    statuses = [result.status for _, result in ended]
    run.summary.update({f"jobs/{status}": statuses.count(status) for status in dict.fromkeys(statuses)} | _best(ended))
    end(run)
    return True


def _row(job: Job, result: Result) -> list[object]:
    changes = " ".join(map(redact_override, job.changes))
    return [job.number, result.status, changes, result.objective, result.seconds, result.reason, result.folder.name]


def _best(ended: Sequence[tuple[Job, Result]]) -> dict[str, object]:
    """Return the best job and its value."""
    values = [(r.objective, job.number, r) for job, r in ended if r.status == "completed" and r.objective is not None]
    if not values:
        return {}
    value, number, result = (max if values[0][2].mode == "max" else min)(values, key=lambda each: each[0])
    return {"best/job": number, f"best/{result.monitor}": value}
