"""Let Optuna choose combinations from the results of earlier ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith.errors import ConfigError, MissingExtraError, RunError, nearest
from tunesmith.sweep import outcome
from tunesmith.sweep.protocol import Job, Result, Searcher, Space
from tunesmith.sweep.search.dimension import Dimension, dimensions

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial, TrialState

NO_JOB = "tunesmith:no job"
"""Attribute of trials that are not jobs of their own: a surplus trial, or the result of a rerun whose first trial had
failed. (Optuna does not let a finished trial be changed.)"""

FILE = "optuna.log"
"""Optuna's own journal in the sweep's folder; optuna-dashboard shows it."""


class Optuna(Searcher):
    """An Optuna study (Akiba et al. 2019) with one trial per job, of the same number.

    It optimizes the best value of the metric that a job monitors, or ``objectives``. A job without a value, or with
    NaN, is a failed trial: it teaches nothing, and the others continue.

    Args:
        space: What is searched.
        folder: Folder of the sweep; the study is kept in ``optuna.log`` in it and resumes with the sweep.
        jobs: Number of trials.
        sampler: How to choose combinations: ``tpe`` (Bergstra et al. 2011), ``cmaes`` (Hansen & Ostermeier 2001; for
            numbers only, other keys are drawn at random) or ``nsga2`` (Deb et al. 2002; for several objectives).
        startup: Number of random trials at the start; for ``nsga2``, the size of a generation.
        seed: Seed of the choices.
        objectives: Metrics with their direction, such as ``{test/accuracy: max, seconds: min}``; validation metrics
            count with their value in the best epoch. ``null`` for the metric that the jobs monitor.
        pruner: Which jobs to stop early, judged by validation so far: those below the ``median`` of the others at the
            same epoch, by ``hyperband`` (Li et al. 2018), or ``none``.
        warmup: Epochs that ``median`` grants every job, and the first rung of ``hyperband``.

    Raises:
        ConfigError: Nothing is searched, the arguments contradict each other, or a completed job lacks a metric that
            ``objectives`` names.
        MissingExtraError: Optuna is not installed.
    """

    total: int

    def __init__(
        self,
        space: Space,
        folder: Path,
        jobs: int = 20,
        sampler: Literal["tpe", "cmaes", "nsga2"] = "tpe",
        startup: int = 10,
        seed: int = 0,
        objectives: dict[str, str] | None = None,
        pruner: Literal["none", "median", "hyperband"] = "none",
        warmup: int = 1,
    ) -> None:
        self.dimensions = dimensions(space)
        _check(self.dimensions, jobs, sampler, objectives, pruner)
        self.total, self.sampler, self.startup, self.seed = jobs, sampler, startup, seed
        self.objectives = objectives
        self.prunes = pruner != "none"
        self._known: set[int] = set()
        self._reported: dict[int, int] = {}
        self._sign: int | None = None  # of the monitored value: -1 if the largest is best, since Optuna minimizes
        self._distributions = {d.key: _distribution(d) for d in self.dimensions}
        self.study = _study(folder, objectives, _pruner(pruner, warmup))

    def ask(self, free: int) -> Sequence[Job]:
        """Return the next trials, first those that were created before a kill and never ran."""
        jobs: list[Job] = []
        while len(jobs) < free and (trial := self._begun() or self._new()) is not None:
            self._known.add(trial.number)
            changes = tuple(f"{d.key}={_text(d, trial.params[d.key])}" for d in self.dimensions)
            jobs.append(Job(trial.number, changes))
        return jobs

    def _begun(self) -> FrozenTrial | None:
        trials = self.study.get_trials(deepcopy=False)
        return next((t for t in trials if not t.state.is_finished() and t.number not in self._known), None)

    def _jobs(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if NO_JOB not in trial.user_attrs]

    def _new(self) -> Trial | None:
        if len(self._jobs()) >= self.total:
            return None
        number = len(self.study.get_trials(deepcopy=False))
        # A sampler's random state dies with its process, and the same seed would draw the first numbers again.
        self.study.sampler = _sampler(self.sampler, self.startup, self.seed * 100_003 + number)
        trial: Trial = self.study.ask(self._distributions)
        if sum(job.number <= trial.number for job in self._jobs()) > self.total:  # another launcher was faster
            trial.set_user_attr(NO_JOB, trial.number)
            self._fail(trial.number)
            return None
        return trial

    def tell(self, job: Job, result: Result | None) -> None:
        """Pass a result to the study, unless another launcher has done so."""
        self._known.add(job.number)
        self._learn(result)
        if result is None:
            return
        values = self._values(result)
        trial = self._trial(job.number)
        if trial.state.is_finished():
            if trial.state == _states().FAIL and result.status == "completed" and values is not None:
                self._add(trial, values)
            return
        if result.status == "completed" and values is None:
            self._examine(result)
        if result.status == "pruned":
            self._report(job.number, result)
            self.study.tell(job.number, state=_states().PRUNED)
        elif result.status == "completed" and values is not None:
            self._report(job.number, result)
            self.study.tell(job.number, values)
        else:
            self._fail(job.number)

    def _add(self, failed: FrozenTrial, values: Sequence[float]) -> None:
        """Add the result of a rerun to the study, once; two launchers may both add it."""
        from optuna.trial import create_trial

        if all(trial.user_attrs.get(NO_JOB) != failed.number for trial in self.study.get_trials(deepcopy=False)):
            attributes = {NO_JOB: failed.number}
            self.study.add_trial(
                create_trial(
                    params=failed.params, distributions=failed.distributions, values=values, user_attrs=attributes
                )
            )

    def prune(self, job: Job, history: Sequence[tuple[int, float]]) -> bool:
        """Return whether Optuna's pruner stops a job; never before the first result says which direction is better."""
        if not self.prunes or self._sign is None or not history or self._trial(job.number).state.is_finished():
            return False  # a rerun has no open trial to report its curve to
        return self._feed(job.number, history, self._sign).should_prune()

    def _report(self, number: int, result: Result) -> None:
        """Report the whole curve of a finished job to the pruner."""
        if self.prunes and self._sign is not None and result.monitor:
            self._feed(number, outcome.history(result.folder, result.monitor), self._sign)

    def _feed(self, number: int, history: Sequence[tuple[int, float]], sign: int) -> Trial:
        from tunesmith.compat.optuna import reopened

        trial = reopened(self.study, self._trial(number))
        for epoch, value in history[self._reported.get(number, 0) :]:
            trial.report(sign * value, epoch + 1)
        self._reported[number] = len(history)
        return trial

    def _learn(self, result: Result | None) -> None:
        if result is not None and result.monitor and self.objectives is None:
            self._sign = -1 if result.mode == "max" else 1

    def _values(self, result: Result) -> list[float] | None:
        """Return the values to optimize; ``None`` if one is missing or not finite."""
        if self.objectives is None:
            found = [None if result.objective is None else (self._sign or 1) * result.objective]
        else:
            known = _known(result)
            found = [known.get(f"best/{name}", known.get(name)) for name in self.objectives]
        values = [value for value in found if value is not None and math.isfinite(value)]
        return values if len(values) == len(found) else None

    def _examine(self, result: Result) -> None:
        """Raise if the first completed job lacks an objective: every later one would too, and would run in vain."""
        known = _known(result)
        absent = [name for name in self.objectives or {} if name not in known and f"best/{name}" not in known]
        if absent and not self.study.get_trials(deepcopy=False, states=(_states().COMPLETE,)):
            names = {key.removeprefix("best/") for key in known}
            raise ConfigError(
                [
                    f"Expected sweep.searcher.objectives to name metrics that a job has but got '{name}'."
                    + nearest(name, names)
                    for name in absent
                ]
            )

    def _fail(self, number: int) -> None:
        self.study.tell(number, state=_states().FAIL)

    def _trial(self, number: int) -> FrozenTrial:
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        if number >= len(trials):
            raise RunError(f"Expected {FILE} of the sweep to know job {number} but it ends before: it was altered.")
        return trials[number]


def _check(
    found: Sequence[Dimension], jobs: int, sampler: str, objectives: Mapping[str, str] | None, pruner: str
) -> None:
    said = []
    if not found:
        said.append("Expected a key to search but got none: such as 'optimizer.lr=tag(log,interval(1e-4,1e-1))'.")
    if jobs < 1:
        said.append(f"Expected sweep.searcher.jobs to be at least 1 but got {jobs}.")
    wrong = [way for way in (objectives or {}).values() if way not in ("max", "min")]
    if wrong:
        said.append(f"Expected max or min for each of sweep.searcher.objectives but got {', '.join(map(str, wrong))}.")
    if objectives is not None and len(objectives) != 1 and (pruner != "none" or sampler == "cmaes"):
        said.append("Expected one objective for sampler=cmaes and for a pruner but got several: choose sampler=nsga2.")
    if said:
        raise ConfigError(said)


def _known(result: Result) -> dict[str, float]:
    return {**result.metrics, "seconds": result.seconds}


def _study(folder: Path, objectives: Mapping[str, str] | None, pruner: BasePruner) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    # Only the first result says which direction of the monitored metric is better; so minimize it with a sign.
    directions: Mapping[str, Literal["maximize", "minimize"]] = {"max": "maximize", "min": "minimize"}
    ways = [directions[way] for way in (objectives or {"": "min"}).values()]
    storage = JournalStorage(JournalFileBackend(str(folder / FILE)))
    study = optuna.create_study(
        storage=storage, study_name="sweep", directions=ways, pruner=pruner, load_if_exists=True
    )
    study.set_user_attr("objectives", list(objectives or ["the monitored metric, negated where the largest is best"]))
    return study


def _sampler(name: str, startup: int, seed: int) -> BaseSampler:
    from optuna import samplers

    if name == "cmaes":
        return samplers.CmaEsSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False)
    if name == "nsga2":
        return samplers.NSGAIISampler(population_size=startup, seed=seed)
    return samplers.TPESampler(n_startup_trials=startup, seed=seed)


def _pruner(name: str, warmup: int) -> BasePruner:
    try:
        from optuna import pruners
    except ImportError as error:
        raise MissingExtraError("optuna", "optuna") from error
    if name == "median":
        return pruners.MedianPruner(n_warmup_steps=warmup)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=warmup)
    return pruners.NopPruner()


def _states() -> type[TrialState]:
    from optuna.trial import TrialState

    return TrialState


def _distribution(dimension: Dimension) -> BaseDistribution:
    try:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    except ImportError as error:
        raise MissingExtraError("optuna", "optuna") from error
    low, high, log = dimension.low, dimension.high, dimension.log
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=log, step=1 if log else dimension.step)
    return CategoricalDistribution(dimension.values) if dimension.values else FloatDistribution(low, high, log=log)


def _text(dimension: Dimension, value: str | float) -> str:
    return value if isinstance(value, str) else dimension.write(value)
