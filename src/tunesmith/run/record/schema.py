"""Define the sections of run.json; without torch, for commands that answer at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from typing_extensions import TypedDict

VERSION = 1
"""Of run.json."""


class Process(TypedDict, total=False):
    """A process: its number, host and start; the start tells it from a later process with the same number."""

    pid: int
    host: str
    began: str | None


class Hardware(TypedDict, total=False):
    """What a run ran on; ``memory_gib`` in GiB."""

    system: str
    processor: str
    cores: int | None
    threads: int
    memory_gib: float
    accelerators: list[str]


class Resumed(TypedDict, total=False):
    """One resume: when, from which checkpoint and position, and what the user was told."""

    at: str
    checkpoint: str | None
    step: int
    epoch: int
    batch: int
    said: list[str]


class Data(TypedDict, total=False):
    """The `DataSpec` and more; here the keys that are read again."""

    fingerprint: str
    unlabelled: str | None
    members: dict[str, str]
    preprocess: dict[str, object]


class Transition(TypedDict):
    """The start of a phase after one that waits for a plateau, and the validation that it started from."""

    phase: int
    first_epoch: int
    best_epoch: int | None
    best: float | None


class Policy(TypedDict, total=False):
    """The phases, and how the run moved through them; here the keys that are written or read again."""

    phases: list[dict[str, int]]
    transitions: list[Transition]
    gradients: dict[str, float]
    check: Mapping[str, object]


class Monitor(TypedDict, total=False):
    """The metric that selects the best epoch."""

    metric: str | None
    mode: Literal["min", "max"]


class Ingredient(TypedDict, total=False):
    """An epoch of a soup: its monitored value, and whether it was used."""

    epoch: int
    value: float
    used: bool


class Selection(TypedDict, total=False):
    """How the tested weights were chosen on validation."""

    weights: str | None
    metric: str | None
    values: dict[str, float]
    alpha: float
    ingredients: list[Ingredient]
    value: float


class Record(TypedDict, total=False):
    """The content of run.json; times in seconds under ``timing``."""

    schema: int
    id: str
    name: str
    status: str
    started: str
    updated: str
    process: Process
    resumed: list[Resumed]
    repeats: str | None
    command: str
    overrides: list[str]
    config_dir: str | None
    choices: Mapping[str, object]
    config_hash: str
    seed: int
    tags: list[str]
    sweep: str | None
    git: dict[str, str | None]
    packages: dict[str, str]
    hardware: Hardware
    batch: dict[str, int | bool]
    monitor: Monitor | None
    data: Data
    weights: dict[str, object]
    init: dict[str, object]
    policy: Policy
    cache: dict[str, object]
    calibration: dict[str, dict[str, object]]
    selection: Selection
    metrics: dict[str, float]
    majority: dict[str, float]
    timing: dict[str, float | None]
    error: dict[str, str] | None
