"""Run a sweep: one command line, many jobs, and one folder in which the same command resumes."""

from __future__ import annotations

import functools
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from tunesmith.config.build import build, build_accepted
from tunesmith.config.redact import redact_override
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.session import Session
from tunesmith.sweep import journal as journals
from tunesmith.sweep.executor.slots import check_slots
from tunesmith.sweep.journal import Journal
from tunesmith.sweep.launcher import Launcher
from tunesmith.sweep.protocol import Executor, Job, Searcher
from tunesmith.sweep.rules import Rules
from tunesmith.sweep.schema import Content
from tunesmith.sweep.screen import Screen
from tunesmith.sweep.search.space import description, digest, parse, values
from tunesmith.sweep.wandb_table import log_sweep


def sweep(
    command: str,
    flags: Sequence[str],
    overrides: Sequence[str],
    configs: Sequence[DictConfig],
    loader: ConfigLoader,
    session: Session | None = None,
) -> int:
    """Run the remaining jobs of a sweep and show the results of all.

    Args:
        command: What each job runs: ``train``.
        flags: Of the command line, for each job's own.
        overrides: All of them, written for Hydra.
        configs: What they compose to, checked: one configuration a combination of swept groups.
        loader: Hydra's, which knows the options.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.

    Returns:
        Exit code: 0 if every job completed or was pruned and none is missing, 2 if every failure was a configuration
        error that one sentence explains, 130 or 143 if a signal stopped the sweep, else 1.

    Raises:
        ConfigError: The command line does not describe a sweep.
        RunError: The folder holds another sweep.
    """
    session = session or Session.read()
    cfg = configs[0]
    settings = cfg.sweep
    check_slots(settings.slots)
    rules = Rules(settings.on_failure, settings.max_failures, settings.retries, settings.timeout)
    space = parse(overrides, loader)
    search = description(space, settings.searcher, configs)
    folder = Path(settings.dir or Path(cfg.paths.logs, cfg.name, f"sweep-{digest(search)}")).expanduser().resolve()
    searcher: Searcher = build(settings.searcher, session.trust, space=space, folder=folder)
    typed = shlex.join(["tunesmith", command, "-m", *flags, *map(redact_override, overrides)])
    content: Content = {"name": cfg.name, "command": typed, "search": search, "values": values(configs)}
    if searcher.listed is not None:
        content["jobs"] = [[redact_override(change) for change in job.changes] for job in searcher.listed]
    journal = journals.open_sweep(folder, content, space)
    if settings.retry == "failed":
        for entry in list(journal.entries.values()):  # a copy: appending also reads other launchers' events
            if entry.result is not None and entry.result.status == "failed":
                journal.again(entry.job)
    screen = Screen(searcher.total, session.console)
    argv = [command, *flags, *space.fixed]
    executor = functools.partial(
        build_accepted,
        settings.executor,
        session.trust,
        slots=settings.slots,
        jobs=list(configs),
        folder=folder,
    )
    before = journal.count()
    code = _run(argv, journal, searcher, executor, rules, screen)
    if journal.count() > before:
        log_sweep(journal, cfg)
    return code


def _run(
    argv: Sequence[str],
    journal: Journal,
    searcher: Searcher,
    executor: functools.partial[Executor],
    rules: Rules,
    screen: Screen,
) -> int:
    ended = [entry for entry in journal.entries.values() if entry.result is not None]
    name = shorten(journal.folder)
    if searcher.total is not None and len(ended) >= searcher.total:
        for entry in ended:
            if entry.result is not None:
                screen.ended(entry.job, entry.result, new=False)
        screen.summary()
        failed = any(entry.result is not None and entry.result.status == "failed" for entry in ended)
        hint = " sweep.retry=failed runs those again that failed." if failed else ""
        screen.say(f"Nothing to do in {name}: {screen.counts()}.{hint}")
        return _code([], screen)
    launcher = Launcher(argv, journal, searcher, executor(), rules, screen)
    of = f"{searcher.total} jobs" if searcher.total is not None else "jobs"
    screen.say(f"{name}: {of}, {launcher.executor.slots} at once" + (f"; {len(ended)} are done" if ended else ""))
    launcher.run()
    journal.refresh()
    screen.summary(_unfinished(journal, searcher, screen))
    screen.say(f"{screen.counts()}. Compare them with: tunesmith compare {name}")
    if launcher.interrupted is not None:
        screen.say("The sweep was stopped: the same command goes on with it.")
        return 130 if launcher.interrupted == signal.SIGINT else 143
    missing = 0 if searcher.total is None else searcher.total - journal.count()
    if missing > 0:
        screen.say(f"{missing} jobs have not been run: the same command goes on with them.")
    return _code(launcher.codes, screen) or int(missing > 0)


def _unfinished(journal: Journal, searcher: Searcher, screen: Screen) -> list[tuple[Job, str]]:
    """List the jobs without a result: those that started, and those that never did."""
    jobs = {job.number: job for job in searcher.listed or ()} | {n: e.job for n, e in journal.entries.items()}
    left = [job for number, job in sorted(jobs.items()) if number not in screen.done]
    return [(job, "unfinished" if job.number in journal.entries else "not begun") for job in left]


def _code(codes: Sequence[int], screen: Screen) -> int:
    failed = [ended for ended in screen.done.values() if ended.result.status == "failed"]
    return 0 if not failed else 2 if len(codes) == len(failed) and set(codes) == {2} else 1
