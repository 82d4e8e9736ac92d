"""Save columns: replace the settings that only differ between runs of different names by the name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.compare.runs import DEFAULT, Recorded

NAME = "name"

FEW = 3
"""Number of keys below which one column each says more than the name."""


def under_names(runs: Sequence[Recorded]) -> tuple[list[Recorded], tuple[str, ...]]:
    """Replace all settings that are constant within every run name by one setting, the name.

    Two experiments may differ in the data, the backbone, the policy and a dozen values, but their table only needs a
    column for what was swept and one for the experiment. The groups stay the same: names with equal settings share
    their label.

    Args:
        runs: The runs.

    Returns:
        The runs, with fewer settings if that saves columns; and the keys that the name replaces.
    """
    every = sorted({key for run in runs for key in run.settings})
    by_name: dict[str, list[Recorded]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)

    def values(key: str, among: Sequence[Recorded]) -> set[str]:
        return {run.settings.get(key, DEFAULT) for run in among}

    same = [key for key in every if all(len(values(key, found)) == 1 for found in by_name.values())]
    folded = tuple(key for key in same if len(values(key, runs)) > 1)
    if len(folded) < FEW:
        return list(runs), ()
    labels: dict[tuple[str, ...], list[str]] = {}
    for name, found in by_name.items():
        labels.setdefault(_at(found[0], folded), []).append(name)
    return [
        replace(
            run,
            settings={NAME: " = ".join(labels[_at(run, folded)])}
            | {key: value for key, value in run.settings.items() if key not in folded},
        )
        for run in runs
    ], folded


def _at(run: Recorded, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(run.settings.get(key, DEFAULT) for key in keys)
