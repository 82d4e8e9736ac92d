"""The run folder and its run.json: made before anything is built, true at every moment, `failed` when the run dies."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.logging import RichHandler

from tunesmith.atomic import write_text
from tunesmith.compat.lightning import rank
from tunesmith.config.check.check import leaves
from tunesmith.config.redact import Redacted, config_hash, redact, redact_text
from tunesmith.errors import RunError, StoppedError, is_interruption
from tunesmith.run.exclusive import announced
from tunesmith.run.record import process
from tunesmith.run.record.environment import git, hardware, packages
from tunesmith.run.record.run_folder import SCHEMA, read, shorten
from tunesmith.run.resume.changed import ANYWHERE, rewritten
from tunesmith.run.session import FOLDER_VARIABLE, Session

if TYPE_CHECKING:
    from tunesmith.run.resume.resume import Found


class Run:
    """A run folder under way; a context manager that records how it ended.

    On the ranks of a distributed run other than the first, it names the same folder and writes nothing.

    Args:
        cfg: The whole configuration; ``paths.run`` in it is set to the folder.
        command: The sub-command, such as ``train``.
        found: A run that has ended early, to go on with in its own folder; ``None`` for a new one.
        repeats: The record of the run that a new one repeats: what was typed for that one counts.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.

    Raises:
        RunError: The folder cannot be made, or another process has just gone on with the run.

    Attributes:
        folder: The run folder.
        record: What run.json holds.
        console: Prints on the terminal and into log.txt.
    """

    def __init__(
        self,
        cfg: DictConfig,
        command: str,
        found: Found | None = None,
        repeats: Mapping[str, Any] | None = None,
        session: Session | None = None,
    ) -> None:
        self.main = is_main()
        self.session = session or Session.read()
        self._entered = contextlib.ExitStack()
        self.console = self.session.console if self.main else Console(quiet=True)
        if found is not None:
            self.folder, self.record = found.folder, found.record
            cfg.paths.run = str(self.folder)
            if self.main:
                self._go_on(found)
            return
        config = hash_of(cfg)
        self.folder = _make_folder(cfg, self.session.job) if self.main else _shared_folder(self.session)
        cfg.paths.run = str(self.folder)
        self.record = _new_record(cfg, command, self.folder, repeats, self.session) | {"config_hash": config}
        if self.main:
            write_text(self.folder / "config.yaml", OmegaConf.to_yaml(redact(cfg)))
            write_text(self.folder / "overrides.yaml", OmegaConf.to_yaml(self.record["overrides"]))
            self._save()

    def _go_on(self, found: Found) -> None:
        """Take over a run that has ended; of two processes that try, one does.

        Raises:
            RunError: Another process was faster.
        """
        with process.locked(self.folder / "log.txt"):
            if read(self.folder)["updated"] != self.record["updated"]:
                raise RunError(f"Expected {self.folder} to have ended but another process has just gone on with it.")
            self.record["resumed"].append(
                {
                    "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "checkpoint": found.checkpoint.name if found.checkpoint else None,
                    **{key: found.entry.get(key, 0) for key in ("step", "epoch", "batch")},
                    "said": list(found.said),
                }
            )
            # Seconds of work that was lost are left out.
            timing = {"fit": round(found.entry.get("seconds", 0.0), 3)}
            self.record |= rewritten(self.folder, found.cfg) if found.changes else {}
            self.update(status="running", error=None, process=process.identity(), timing=timing)
        self.add_time("import", _import_seconds(self.session))

    def __enter__(self) -> Run:
        self._cpu = _cpu_seconds()
        if self.main:
            self._entered.enter_context(announced(self.folder))
            handler = logging.FileHandler(self.folder / "log.txt", encoding="utf-8")
            handler.setFormatter(Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
            handler.handleError = lambda record: None  # type: ignore[method-assign]  # nor must the log hide it
            screen = RichHandler(logging.WARNING, self.console, show_time=False, show_path=False)
            screen.setFormatter(Redacted("%(message)s"))  # a sweep keeps what its jobs print
            ours = logging.getLogger("tunesmith")
            self._entered.callback(ours.setLevel, ours.level)
            ours.setLevel(logging.INFO)
            for each in (handler, screen):
                logging.getLogger().addHandler(each)
                self._entered.callback(logging.getLogger().removeHandler, each)
            self._entered.callback(handler.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self.session.stop.held():
            if self.main:
                with contextlib.suppress(OSError):  # a full disk must not hide what filled it
                    self.add_time("cpu", _cpu_seconds() - self._cpu)
            if error is None:
                self.update(status="completed")
            else:
                self._end_early(error)
            with contextlib.suppress(OSError):
                self._entered.close()

    def _end_early(self, cause: BaseException) -> None:
        stopped = is_interruption(cause)
        # Not on the screen, where the error itself is about to appear.
        logging.getLogger("tunesmith").info("The run ended early.", exc_info=cause)
        error = {"type": type(cause).__name__, "message": redact_text(str(cause))}
        if stopped:
            error["signal"] = cause.signal if isinstance(cause, StoppedError) else "SIGINT"
        # A disk that is full must not hide what filled it.
        with contextlib.suppress(OSError):
            self._record_end("stopped" if stopped else "failed", error)
        if self.main:
            place = shorten(self.folder)
            end = f"Stopped; go on with: tunesmith train resume={place}" if stopped else None
            # The console may be what failed.
            print(end or f"The run failed; what there is of it lies in {place}", file=sys.stderr)  # noqa: T201

    def _record_end(self, status: str, error: dict[str, str]) -> None:
        if not self.main:
            # Lightning kills the first rank when another dies, so this one says it, if nobody has.
            found = read(self.folder)
            if found["status"] != "running":
                return
            self.record = found
            error = {**error, "rank": str(rank())}
        self.record.update(status=status, error=error)
        self._save()

    def update(self, **sections: Any) -> None:
        """Put new values into run.json; dicts go into the section of that name, key by key."""
        for name, value in sections.items():
            if isinstance(value, Mapping) and isinstance(self.record.get(name), dict):
                self.record[name].update(value)
            else:
                self.record[name] = value
        if self.main:
            self._save()

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the seconds that a part of the run takes to what it took before a resume, under ``timing``."""
        start = time.perf_counter()
        yield
        self.add_time(what, time.perf_counter() - start)

    def add_time(self, what: str, seconds: float) -> None:
        """Add seconds under ``timing``."""
        self.update(timing={what: round(self.record["timing"].get(what, 0) + seconds, 3)})

    def write(self, name: str, text: str) -> None:
        """Write a text file into the run folder."""
        if self.main:
            write_text(self.folder / name, text)

    def say(self, *renderables: Any) -> None:
        """Print on the terminal, and into log.txt without colours."""
        if not self.main:
            return
        self.console.print(*renderables, highlight=False)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            Console(file=file, width=120).print(*renderables, highlight=False)

    def _save(self) -> None:
        self.record["updated"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        write_text(self.folder / "run.json", json.dumps(self.record, indent=1, default=str) + "\n")


def _make_folder(cfg: DictConfig, job: Path | None) -> Path:
    if leaves(str(cfg.name)):
        raise RunError(f"Expected name to stay in paths.logs but got '{cfg.name}'.")
    # A random part, because two jobs can start in the same second.
    now = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    folder = job or Path(cfg.paths.logs, cfg.name, f"{now}-{secrets.token_hex(4)}").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=job is not None)  # killed before it wrote anything
    except OSError as error:
        raise RunError(f"Expected to make the run folder {folder} but got: {error.strerror}.") from error
    return folder


def _new_record(
    cfg: DictConfig, command: str, folder: Path, repeats: Mapping[str, Any] | None, session: Session
) -> dict[str, Any]:
    typed = asdict(session.typed) if repeats is None else {"config_dir": None, **repeats}
    return {
        "schema": SCHEMA,
        "id": folder.name.rpartition("-")[2],
        "name": cfg.name,
        "status": "running",
        "started": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "process": process.identity(),
        "resumed": [],
        "repeats": repeats["id"] if repeats else None,
        "command": " ".join(["tunesmith", command, *typed["overrides"]]),
        "overrides": list(typed["overrides"]),
        "config_dir": typed["config_dir"],
        "choices": typed["choices"],
        "config_hash": "",
        "seed": cfg.seed,
        "tags": [redact_text(str(tag)) for tag in cfg.tags],
        "sweep": session.sweep,
        "git": git(),
        "packages": packages(),
        "hardware": hardware(),
        "batch": repeats.get("batch", {}) if repeats else {},
        "data": {},
        "weights": {},
        "policy": {},
        "cache": {},
        "metrics": {},
        "timing": {"import": _import_seconds(session)},
        "error": None,
    }


def _import_seconds(session: Session) -> float:
    """Seconds from the start of the process to its first run; later ones import nothing, nor does a sweep's job."""
    return 0.0 if session.started is None else round(time.monotonic() - session.started, 3)


def _cpu_seconds() -> float:
    """Seconds that all cores together spent on this process and on those it started and waited for."""
    return sum(os.times()[:4])


def hash_of(cfg: DictConfig) -> str:
    """Digest of a configuration, the same wherever and however often it is run."""
    cfg = cfg.copy()
    cfg.paths.run = ANYWHERE  # others refer to it
    return config_hash(redact(cfg))


def joined_folder(session: Session) -> Path | None:
    """The run folder, in a process of a distributed run that is not the first."""
    return None if is_main() else _shared_folder(session)


def is_main() -> bool:
    """Whether this process is the first rank, as Lightning counts them: torchrun and SLURM included."""
    return rank() == 0


def _shared_folder(session: Session) -> Path:
    if session.run_folder is None:
        raise RunError(
            "Expected the first process to start the others (trainer=ddp) but got one that something else started: "
            f"set {FOLDER_VARIABLE} to one run folder for all of them."
        )
    return session.run_folder
