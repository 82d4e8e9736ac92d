"""Declare the root keys of each command that are not config groups, with their types: one class per command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Paths:
    """The node ``paths``: ``logs`` is the folder of all runs, ``run`` the current run's, set once it exists.

    ``cache`` is the folder that all runs share; ``None`` for ``TUNESMITH_CACHE``, or the platform's cache folder.
    """

    logs: str
    run: str | None = None
    cache: str | None = None


@dataclass
class Sweep:
    """The node ``sweep``: how jobs are chosen, where they run, and what happens when they fail."""

    searcher: object
    executor: object
    params: dict[str, object]
    dir: str | None
    slots: int | Literal["auto"]
    on_failure: Literal["continue", "stop"]
    max_failures: int | None
    retries: int
    timeout: float | None
    retry: Literal["failed"] | None


@dataclass
class Train:
    """Root keys of ``tunesmith train``."""

    name: str
    seed: int
    tags: list[str]
    plots: bool
    test: Literal["best", "last", "raw", "wise_ft", "uniform_soup", "greedy_soup"] | None
    init_from: str | None
    init_strict: bool
    resume: str | None
    resume_force: bool
    paths: Paths
    sweep: Sweep = None  # type: ignore[assignment]  # a single run has none


@dataclass
class Evaluate:
    """Root keys of ``tunesmith evaluate``."""

    run: str
    split: Literal["train", "val", "test"]
    checkpoint: Literal["tested", "best", "last", "raw", "wise_ft", "uniform_soup", "greedy_soup"]
    seed: int
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    paths: Paths


@dataclass
class Predict:
    """Root keys of ``tunesmith predict``."""

    run: str
    input: str
    output: str
    checkpoint: Literal["tested", "best", "last", "raw", "wise_ft", "uniform_soup", "greedy_soup"]
    batch_size: int
    on_bad_file: Literal["error", "skip"]
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    paths: Paths


@dataclass
class Export:
    """Root keys of ``tunesmith export``."""

    run: str
    output: str
    checkpoint: Literal["tested", "best", "last", "raw", "wise_ft", "uniform_soup", "greedy_soup"]
    paths: Paths


@dataclass
class Compare:
    """Root keys of ``tunesmith compare``."""

    runs: str | list[str]
    metric: str | None
    mode: Literal["max", "min"] | None
    output: str | list[str] | None
    plots: str | None
    paths: Paths


@dataclass
class Command:
    """Root keys of ``tunesmith command``."""

    run: str
    paths: Paths


@dataclass
class Check:
    """Root keys of ``tunesmith check``."""

    seed: int
    near: bool
    predictions: str | list[str] | None
    max_duplicates: int | None
    output: str
    paths: Paths


@dataclass
class Reproduce:
    """Root keys of ``tunesmith reproduce``."""

    run: str
    tolerance: float
    force: bool
    paths: Paths


@dataclass
class Cache:
    """Root keys of ``tunesmith cache``."""

    action: Literal["list", "verify", "prune"]
    unused_days: float | None
    max_gb: float | None
    paths: Paths
