"""Read how a job ended: its metrics and state from its run folder, and the reason why it failed, in one line."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from tunesmith.errors import RunError
from tunesmith.run.record import metrics_log
from tunesmith.run.record.run_folder import read
from tunesmith.run.record.schema import Record
from tunesmith.sweep.protocol import Result, Status

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def result(folder: Path, status: Status, seconds: float, reason: str = "") -> Result:
    """Read a job's metrics from its run folder.

    Args:
        folder: Run folder, which may not exist.
        status: How the job ended.
        seconds: Its duration.
        reason: Why it failed.
    """
    record = record_of(folder)
    monitor = record.get("monitor") or {}
    metrics: Mapping[str, float] = record.get("metrics") or {}
    name, mode = monitor.get("metric"), monitor.get("mode", "max")
    objective = metrics.get(f"best/{name}") if name else None
    if objective is None and name and (values := [value for _, value in history(folder, name)]):
        objective = max(values) if mode == "max" else min(values)
    return Result(status, folder, objective, name, mode, metrics, seconds, reason)


def record_of(folder: Path) -> Record:
    """Return the content of a job's run.json; empty if there is none."""
    try:
        return read(folder)
    except RunError:
        return {}


def history(folder: Path, monitor: str) -> list[tuple[int, float]]:
    """Return epoch and value of a metric so far."""
    epochs, values = metrics_log.series(folder, monitor)
    return [(int(epoch), value) for epoch, value in zip(epochs, values, strict=True)]


def completed(folder: Path) -> bool:
    """Return whether a run's record says that it completed."""
    return bool(record_of(folder).get("status") == "completed")


def reason(folder: Path, code: int, log: Path, began: int, kills: int) -> str:
    """Explain in one line why a job failed.

    Args:
        folder: Its run folder.
        code: Exit code of its process; negative for a signal.
        log: Its output.
        began: Size of the log in bytes when the job started.
        kills: Out-of-memory kills by then, as counted by `memory_kills`.
    """
    if code < 0:
        text = f"killed by {_signal(-code)}"
        # The count covers all processes of the container, so another one may have been killed.
        starved = code == -signal.SIGKILL and memory_kills() > kills
        return f"{text}: perhaps the machine was out of memory" if starved else text
    error = record_of(folder).get("error")
    if error:
        said = f"{error['type']}: {error['message']}" if error["message"] else error["type"]
        return f"called sys.exit({error['message']})" if error["type"] == "SystemExit" else _line(said)
    return _last_words(log, began) or f"ended with exit code {code} and no word"


def memory_kills() -> int:
    """Count the out-of-memory kills in this container (cgroup v2's ``memory.events``); 0 if unknown."""
    try:
        lines = _PROC.read_text(encoding="utf-8").splitlines()
        own = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        words = (_CGROUPS / own / "memory.events").read_text(encoding="utf-8").split()
        return int(words[words.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(log: Path, began: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(began, log.stat().st_size - 65536))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    lines = [line.strip() for line in lines if line.strip()]
    return _line(lines[-1].removeprefix("tunesmith: ")) if lines else ""


def _line(text: str, most: int = 200) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= most else joined[: most - 1] + "…"
