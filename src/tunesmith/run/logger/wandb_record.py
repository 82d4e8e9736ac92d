"""Read W&B's record of a run, as run.json has it, from an offline folder (wandb has no reader) or a server."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

from tunesmith.errors import RunError
from tunesmith.run.record.schema import Record

ONLINE = "wandb:"
"""Prefix of a path on W&B's server, such as ``wandb:entity/project/id``."""

METRICS = ("train/", "val/", "test/", "best/")
"""Prefixes of the names of a run's metrics."""

NOT_METRICS = ("_step", "_per_second")
"""Suffixes of names that are no metrics."""

BLOCK = 32768
"""Bytes per block of LevelDB's log format (https://github.com/google/leveldb/blob/main/doc/log_format.md)."""


class Item(Protocol):
    """A key and its value in W&B's records."""

    key: str
    nested_key: Sequence[str]


class About(TypedDict, total=False):
    """W&B's own properties of a run."""

    id: str
    group: str
    job_type: str
    tags: list[str]


class Kept(Record, total=False):
    """A run's record in W&B: ``config``, its final metrics, and of an offline run all logged keys and `About`."""

    config: dict[str, object]
    logged: set[str]
    about: About


def read(place: str) -> Kept:
    """Read a run.

    Args:
        place: Folder of an offline run with its ``.wandb`` file, or a path on the server after ``wandb:``.

    Raises:
        RunError: There is no such run, it cannot be read, or it is not tunesmith's.
    """
    found = _online(place.removeprefix(ONLINE)) if place.startswith(ONLINE) else _offline(Path(place))
    if not isinstance(found.get("config"), dict) or "choices" not in found:
        raise RunError(f"Expected a run of tunesmith's at {place} but its configuration is not one.")
    return found


def _online(path: str) -> Kept:
    import wandb

    try:
        run = wandb.Api().run(path)
    except (wandb.errors.Error, ValueError) as error:
        raise RunError(f"Expected a W&B run, as wandb:entity/project/id, but got '{path}': {error}.") from error
    status = "completed" if run.state == "finished" else str(run.state)
    return {**_kept(dict(run.config)), "id": run.id, "status": status, "metrics": comparable(run.summary_metrics)}


def _offline(folder: Path) -> Kept:
    files = sorted(folder.glob("*.wandb"))
    if len(files) != 1:
        raise RunError(f"Expected one .wandb file in {folder} but found {len(files)}.")
    return read_file(files[0])


def read_file(file: Path) -> Kept:
    """Read the file of an offline run.

    Raises:
        RunError: The file is not W&B's.
    """
    from google.protobuf.message import DecodeError

    from tunesmith.compat.wandb import record as empty

    config: dict[str, object] = {}
    metrics: dict[str, object] = {}
    logged: set[str] = set()
    about: About = {}
    status = "running"  # also of a run that was killed
    try:
        for data in _records(file.read_bytes()):
            record = empty()
            record.ParseFromString(data)
            for item in [*record.run.config.update, *record.config.update]:
                config[_key(item)] = json.loads(item.value_json)
            for item in [*record.history.item, *record.summary.update]:
                if len(item.nested_key) < 2:  # longer ones are parts of images and tables
                    metrics[_key(item)] = json.loads(item.value_json)
            logged.update(map(_key, record.history.item))
            if record.HasField("exit"):
                status = "failed" if record.exit.exit_code else "completed"
            if record.run.run_id:
                run = record.run
                about = {"id": run.run_id, "group": run.run_group, "job_type": run.job_type, "tags": list(run.tags)}
    except (DecodeError, ValueError, struct.error) as error:
        raise RunError(f"Expected {file} to be a file of W&B's but got: {error}.") from error
    end: Kept = {"id": about.get("id", ""), "status": status, "metrics": comparable(metrics)}
    return {**_kept(config), **end, "logged": logged, "about": about}


def _kept(config: Any) -> Kept:
    """Take W&B's configuration, whose values may be anything, for the sections that we logged."""
    found: Kept = config
    return found


def _key(item: Item) -> str:
    return str(item.key or item.nested_key[0])


def _records(data: bytes) -> Iterator[bytes]:
    """Yield a file's complete records: blocks with parts of records follow a header of 7 bytes."""
    position, whole = 7, b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):
            return  # truncated by a kill
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # complete, or the last part
            yield whole
            whole = b""


def comparable(values: Mapping[str, object]) -> dict[str, float]:
    """Select the logged metrics that a run on the same inputs must reproduce."""
    return {
        str(key): float(value)
        for key, value in values.items()
        if key.startswith(METRICS) and not key.endswith(NOT_METRICS) and isinstance(value, int | float)
    }
