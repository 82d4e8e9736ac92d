"""What W&B keeps of a run, as run.json has it: from an offline folder, whose file wandb cannot read, or a server."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import RunError

ONLINE = "wandb:"
"""What a path on W&B's server begins with, such as ``wandb:entity/project/id``."""

METRICS = ("train/", "val/", "test/", "best/")
"""What the names of a run's metrics begin with."""

NOT_METRICS = ("_step", "_per_second")
"""What the names of the others end with."""

BLOCK = 32768
"""Bytes; W&B's file is LevelDB's log format (https://github.com/google/leveldb/blob/main/doc/log_format.md)."""


def read(place: str) -> dict[str, Any]:
    """Read a run.

    Args:
        place: Folder of an offline run, with its ``.wandb`` file, or a path on the server after ``wandb:``.

    Returns:
        ``id``, ``status`` in the words of run.json, ``metrics`` as they were in the end, and the sections of W&B's
        configuration: ``config``, ``choices``, ``overrides``, ``packages``, ``data``, …

    Raises:
        RunError: There is no such run, it cannot be read, or it is not tunesmith's.
    """
    found = _online(place.removeprefix(ONLINE)) if place.startswith(ONLINE) else _offline(Path(place))
    if not isinstance(found.get("config"), dict) or "choices" not in found:
        raise RunError(f"Expected a run of tunesmith's at {place} but its configuration is not one.")
    return found


def _online(path: str) -> dict[str, Any]:
    import wandb

    try:
        run = wandb.Api().run(path)
    except (wandb.errors.Error, ValueError) as error:
        raise RunError(f"Expected a W&B run, as wandb:entity/project/id, but got '{path}': {error}.") from error
    status = "completed" if run.state == "finished" else str(run.state)
    return {**run.config, "id": run.id, "status": status, "metrics": comparable(run.summary_metrics)}


def _offline(folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob("*.wandb"))
    if len(files) != 1:
        raise RunError(f"Expected one .wandb file in {folder} but found {len(files)}.")
    return read_file(files[0])


def read_file(file: Path) -> dict[str, Any]:
    """Read the file of an offline run.

    Returns:
        As `read`; and ``logged``, the keys of all that was logged, and ``about``: id, group, job type and tags.

    Raises:
        RunError: The file is not W&B's.
    """
    from google.protobuf.message import DecodeError

    from tunesmith.compat.wandb import record as empty

    config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    logged: set[str] = set()
    about: dict[str, Any] = {}
    status = "running"  # a run that was killed never says how it ended
    try:
        for data in _records(file.read_bytes()):
            record = empty()
            record.ParseFromString(data)
            for item in [*record.run.config.update, *record.config.update]:
                config[_key(item)] = json.loads(item.value_json)
            for item in [*record.history.item, *record.summary.update]:
                if len(item.nested_key) < 2:  # else a part of an image or a table
                    metrics[_key(item)] = json.loads(item.value_json)
            logged.update(map(_key, record.history.item))
            if record.HasField("exit"):
                status = "failed" if record.exit.exit_code else "completed"
            if record.run.run_id:
                run = record.run
                about = {"id": run.run_id, "group": run.run_group, "job_type": run.job_type, "tags": list(run.tags)}
    except (DecodeError, ValueError, struct.error) as error:
        raise RunError(f"Expected {file} to be a file of W&B's but got: {error}.") from error
    end = {"id": about.get("id"), "status": status, "metrics": comparable(metrics)}
    return {**config, **end, "logged": logged, "about": about}


def _key(item: Any) -> str:
    return str(item.key or item.nested_key[0])


def _records(data: bytes) -> Iterator[bytes]:
    """Split a file into its whole records: after a header of 7 bytes, blocks with parts of records."""
    position, whole = 7, b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):
            return  # cut short by a kill
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def comparable(values: Mapping[str, Any]) -> dict[str, float]:
    """Metrics, among all that was logged, that a run on the same inputs has to come to again."""
    return {
        str(key): float(value)
        for key, value in values.items()
        if key.startswith(METRICS) and not key.endswith(NOT_METRICS) and isinstance(value, int | float)
    }
