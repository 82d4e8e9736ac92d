"""Group runs by what differs between them, rank the groups, and test whether the best two differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tunesmith.compare.doubts import doubts, tested_part
from tunesmith.compare.names import under_names
from tunesmith.compare.runs import DEFAULT, Recorded, Replicate
from tunesmith.compare.statistics import Floats, Paired, importance, paired, spread
from tunesmith.errors import RunError, nearest

FEW = 3
"""Fewest shared replicates for a test: with two, a difference would have to be 13 times its standard error."""

ERRORS = ("loss", "error", "mae", "rmse", "distance")
"""Suffixes of the metrics for which lower is better."""


@dataclass(frozen=True)
class Group:
    """The runs of one setting.

    Attributes:
        settings: Value of each key that differs between groups.
        runs: Completed runs, one per replicate.
        values: The metric per run ``(N,)``.
        best: Run with the best value.
        out_of_fold: Metrics over the samples of all folds together, if the runs are folds.
    """

    settings: Mapping[str, str]
    runs: tuple[Recorded, ...]
    values: Floats
    best: Recorded
    out_of_fold: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean of the metric."""
        return float(self.values.mean())

    @property
    def spread(self) -> float:
        """Sample standard deviation over replicates; NaN for one."""
        return spread(self.values)

    @property
    def seconds(self) -> float:
        """Mean seconds per run."""
        return float(np.mean([run.seconds for run in self.runs]))

    @property
    def label(self) -> str:
        """Return the settings as text, or ``all runs`` if nothing differs."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "all runs"


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs.

    Attributes:
        metric: Metric that ranks the groups.
        mode: Whether the largest (``max``) or the smallest (``min``) value is best.
        keys: Keys that differ between groups.
        groups: Groups, best first.
        left_out: Runs without a value, with the reason.
        doubts: Why the numbers may not be comparable.
        notes: Further remarks.
        test: Test of the best group against the second; ``None`` with too few shared replicates.
        verdict: The test in words.
        importance: Share of the variance that each key explains.
    """

    metric: str
    mode: Literal["max", "min"]
    keys: tuple[str, ...]
    groups: tuple[Group, ...]
    left_out: tuple[tuple[Recorded, str], ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]
    test: Paired | None
    verdict: str
    importance: Mapping[str, float]


def group(runs: Sequence[Recorded], metric: str | None, mode: Literal["max", "min"] | None) -> Comparison:
    """Compare runs.

    Args:
        runs: In the order in which they started.
        metric: Such as ``test/macro_f1``, or ``macro_f1`` for short; ``None`` for the one that most runs monitor.
        mode: ``None`` for min if the metric is an error or a loss, else max.

    Raises:
        RunError: No run is completed, or none has the metric.
    """
    metric, mode = chosen(runs, metric, mode)
    left_out = [(run, run.reason or f"it has no {metric}") for run in runs if run.reason or not _has(run, metric)]
    counted = [run for run in runs if not run.reason and _has(run, metric)]
    if not counted:
        raise _nothing(runs, left_out, metric)
    found, repeated = one_a_replicate(_with_data(counted))
    found, folded = under_names(found)
    keys, groups = _grouped(found, metric, mode)
    columns = {key: [run.settings.get(key, DEFAULT) for run in found] for key in keys}
    values = np.array([run.metrics[metric] for run in found])
    test, verdict = compare_best(groups, metric)
    notes = [f"{repeated} runs repeat the settings, seed and fold of a later one, which counts alone."] * bool(repeated)
    monitors = Counter(run.monitor[0] for run in counted if run.monitor)
    if folded:
        notes.append(f"The name stands for what differs between names alone: {', '.join(folded)}.")
    if len(monitors) > 1:
        notes.append(f"The runs monitor different metrics: {', '.join(sorted(monitors))}.")
    return Comparison(
        metric,
        mode,
        keys,
        tuple(groups),
        tuple(left_out),
        tuple(doubts(found)),
        tuple(notes),
        test,
        verdict,
        importance(values, columns),
    )


def chosen(
    runs: Iterable[Recorded], metric: str | None, mode: Literal["max", "min"] | None
) -> tuple[str, Literal["max", "min"]]:
    """Choose the metric and its direction.

    Raises:
        RunError: No metric is given, and no run records one.
    """
    monitors = Counter(run.monitor for run in runs if run.monitor).most_common(1)
    if metric is None:
        if not monitors:
            raise RunError("Expected runs that say which metric they monitor; give one: metric=test/accuracy.")
        metric = monitors[0][0][0].rpartition("/")[2]
    metric = metric if "/" in metric else f"test/{metric}"
    last = metric.rpartition("/")[2]
    known = [m for (name, m), _ in monitors if name.rpartition("/")[2] == last]
    settled = mode or (known[0] if known else "min" if last.endswith(ERRORS) else "max")
    return metric, "min" if settled == "min" else "max"


def _has(run: Recorded, metric: str) -> bool:
    value = run.metrics.get(metric)
    return isinstance(value, int | float) and math.isfinite(value)


def _nothing(runs: Sequence[Recorded], left_out: Sequence[tuple[Recorded, str]], metric: str) -> RunError:
    names = {name for run in runs if not run.reason for name in run.metrics if name.startswith(("test/", "val/"))}
    if names:
        return RunError(f"Expected runs with {metric} but none has it.{nearest(metric, names)}")
    run, reason = left_out[0]
    return RunError(f"Expected completed runs but got none; {run.folder.name}, for one: {reason}")


def _with_data(runs: Sequence[Recorded]) -> list[Recorded]:
    """Make the data a setting if they differ between runs, so that no mean mixes different data."""
    prints = sorted({str(run.data.get("fingerprint")) for run in runs})
    if len(prints) == 1:
        return list(runs)
    short = {whole: whole.rpartition(":")[2][:8] for whole in prints}
    return [
        replace(run, settings={**run.settings, "data fingerprint": short[str(run.data.get("fingerprint"))]})
        for run in runs
    ]


def one_a_replicate(runs: Sequence[Recorded]) -> tuple[list[Recorded], int]:
    """Keep the last run per settings, seed and fold: repeating a run adds no information.

    Returns:
        The runs kept, and the number dropped.
    """
    kept = {(frozenset(run.settings.items()), run.replicate): run for run in runs}
    return list(kept.values()), len(runs) - len(kept)


def _grouped(runs: Sequence[Recorded], metric: str, mode: Literal["max", "min"]) -> tuple[tuple[str, ...], list[Group]]:
    every = sorted({key for run in runs for key in run.settings})
    keys = tuple(key for key in every if len({run.settings.get(key, DEFAULT) for run in runs}) > 1)
    members: dict[tuple[str, ...], list[Recorded]] = {}
    for run in runs:
        members.setdefault(tuple(run.settings.get(key, DEFAULT) for key in keys), []).append(run)
    sign = 1 if mode == "max" else -1
    groups = []
    for labels, found in members.items():
        ordered = sorted(found, key=lambda run: tuple(map(str, run.replicate)))
        values = np.array([float(run.metrics[metric]) for run in ordered])
        best = ordered[int(np.argmax(sign * values))]
        groups.append(Group(dict(zip(keys, labels, strict=True)), tuple(ordered), values, best))
    return keys, sorted(groups, key=lambda g: (-sign * g.mean, g.seconds))


def compare_best(groups: Sequence[Group], metric: str) -> tuple[Paired | None, str]:
    """Test the best group against the second, paired over the replicates that both have, and put it into words."""
    if len(groups) < 2:
        return None, "There is one setting, so there is nothing to tell apart."
    first, second = (dict(zip([r.replicate for r in g.runs], g.values, strict=True)) for g in groups[:2])
    shared = [replicate for replicate in first if replicate in second]
    names = " and ".join(_told_apart(groups[0], groups[1]))
    if not _same_images(groups[0], groups[1], shared):
        return None, f"The best two, {names}, were tested on different images, so no test is made."
    if len(shared) < FEW:
        return None, (
            f"Too few replicates to tell the best two apart ({names}): they share {len(shared)} of the {FEW} seeds or "
            "folds that a test needs at the least; five or more are better, such as -m seed=range(0,5)."
        )
    test = paired(np.array([first[r] for r in shared]), np.array([second[r] for r in shared]))
    return test, " ".join([_in_words(test, names, metric), *_cautions(shared, len(groups), test)])


def _same_images(one: Group, other: Group, shared: Sequence[Replicate]) -> bool:
    """Return whether two groups tested on the same images of the same data in every shared replicate."""
    parts = [
        {run.replicate: (run.data.get("fingerprint"), tested_part(run.data)) for run in each.runs}
        for each in (one, other)
    ]
    return all(parts[0][replicate] == parts[1][replicate] for replicate in shared)


def _told_apart(one: Group, other: Group) -> tuple[str, str]:
    """Return the labels of two groups, reduced to the keys that differ."""
    keys = [key for key in one.settings if one.settings[key] != other.settings[key]]
    first, second = (", ".join(f"{key}={group.settings[key]}" for key in keys) for group in (one, other))
    return first, second


def _in_words(test: Paired, names: str, metric: str) -> str:
    if test.difference == 0 and test.p == 1:
        return f"The best two, {names}, have the same {metric} in each of {test.pairs} pairs."
    said = "differ by more than chance would explain" if test.p < 0.05 else "cannot be told apart"
    return (
        f"The best two, {names}, {said}: {metric} differs by {test.difference:+.4f} over {test.pairs} shared "
        "replicates, "
        f"95 % interval {test.interval[0]:+.4f} to {test.interval[1]:+.4f} by Student's t "
        f"({test.bootstrap[0]:+.4f} to {test.bootstrap[1]:+.4f} by bootstrap), p = {test.p:.2g}, paired t-test."
    )


def _cautions(shared: Sequence[Replicate], groups: int, test: Paired) -> list[str]:
    """Return reasons why the p-value or the bootstrap interval is too small.

    Replicates that share training images are dependent, and the t-test's variance is too small (Nadeau & Bengio 2003,
    "Inference for the generalization error"); their correction needs the split sizes and is not applied here.
    """
    said = []
    if groups > 2 and test.p < 0.05:
        said.append(f"The two were picked as the best of {groups} by the same numbers, so p is somewhat too small.")
    if len({(r.split_seed, r.fold) for r in shared}) > 1:
        said.append("Folds and split seeds share training images, so p is too small (Nadeau & Bengio 2003).")
    if test.pairs < 10:  # it covers the true mean in 76 % of cases with 3 pairs, 83 % with 5, 91 % with 10 (simulated)
        said.append(f"With {test.pairs} pairs the bootstrap interval is too narrow; go by Student's t.")
    return said
