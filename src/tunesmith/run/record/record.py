"""Create the run folder and keep its run.json up to date, also if the run fails."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console, RenderableType
from rich.logging import RichHandler

from tunesmith.atomic import write_text
from tunesmith.compat.lightning import rank
from tunesmith.config.check.check import leaves
from tunesmith.config.confine import confine, unshare
from tunesmith.config.redact import Redacted, config_hash, redact, redact_text
from tunesmith.errors import RunError, StoppedError, is_interruption
from tunesmith.run.exclusive import announced
from tunesmith.run.record import process
from tunesmith.run.record.environment import git, hardware, packages
from tunesmith.run.record.run_folder import read, shorten
from tunesmith.run.record.schema import VERSION, Record
from tunesmith.run.resume.changed import ANYWHERE, rewritten
from tunesmith.run.session import FOLDER_VARIABLE, Session, Typed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tunesmith.run.resume.resume import Found


class Run:
    """A run in progress; as a context manager it records how the run ended.

    Only the first rank of a distributed run writes to the folder.

    Args:
        cfg: Full configuration; its ``paths.run`` is set to the folder.
        command: Command, such as ``train``.
        found: Run to resume in its folder; ``None`` for a new one.
        repeats: Record of the run that a new one repeats, whose overrides are recorded again.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        RunError: The folder cannot be created, or another process has just resumed the run.

    Attributes:
        folder: Run folder.
        record: Content of run.json.
        console: Prints on the terminal; silent on ranks other than the first.
    """

    def __init__(
        self,
        cfg: DictConfig,
        command: str,
        found: Found | None = None,
        repeats: Record | None = None,
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
        self.record = _new_record(cfg, command, self.folder, repeats, self.session)
        self.record["config_hash"] = config
        if repeats is not None:
            confine(cfg)  # again, now that the folder is known
        if self.main:
            write_text(self.folder / "config.yaml", OmegaConf.to_yaml(redact(cfg)))
            write_text(self.folder / "overrides.yaml", OmegaConf.to_yaml(self.record["overrides"]))
            self._save()

    def _go_on(self, found: Found) -> None:
        """Take over a run that has ended, as the only process.

        Raises:
            RunError: Another process was faster.
        """
        for name in ("log.txt", "metrics.jsonl"):
            unshare(self.folder / name)
        with process.locked(self.folder / "log.txt"):
            if read(self.folder)["updated"] != self.record["updated"]:
                raise RunError(f"Expected {self.folder} to have ended but another process has just resumed it.")
            self.record["resumed"].append(
                {
                    "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "checkpoint": found.checkpoint.name if found.checkpoint else None,
                    "step": found.entry.get("step", 0),
                    "epoch": found.entry.get("epoch", 0),
                    "batch": found.entry.get("batch", 0),
                    "said": list(found.said),
                }
            )
            if found.changes:
                self.record["config_hash"] = rewritten(self.folder, found.cfg)
            seconds = round(found.entry.get("seconds", 0.0), 3)  # without lost work
            self.update(status="running", error=None, process=process.identity(), timing={"fit": seconds})
        self.add_time("import", _import_seconds(self.session))

    def __enter__(self) -> Run:
        self._cpu = _cpu_seconds()
        if self.main:
            self._entered.enter_context(announced(self.folder))
            handler = logging.FileHandler(self.folder / "log.txt", encoding="utf-8")
            handler.setFormatter(Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
            handler.handleError = lambda record: None  # type: ignore[method-assign]  # a failing log must not hide the error
            screen = RichHandler(logging.WARNING, self.console, show_time=False, show_path=False)
            screen.setFormatter(Redacted("%(message)s"))  # a sweep saves its jobs' output
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
                with contextlib.suppress(OSError):  # a full disk must not hide the error
                    self.add_time("cpu", _cpu_seconds() - self._cpu)
            if error is None:
                self.update(status="completed")
            else:
                self._end_early(error)
            with contextlib.suppress(OSError):
                self._entered.close()

    def _end_early(self, cause: BaseException) -> None:
        stopped = is_interruption(cause)
        # In the log only: the error itself is about to appear on the screen.
        logging.getLogger("tunesmith").info("The run ended early.", exc_info=cause)
        error = {"type": type(cause).__name__, "message": redact_text(str(cause))}
        if stopped:
            error["signal"] = cause.signal if isinstance(cause, StoppedError) else "SIGINT"
        with contextlib.suppress(OSError):
            self._record_end("stopped" if stopped else "failed", error)
        if self.main:
            place = shorten(self.folder)
            end = f"Stopped; resume with: tunesmith train resume={place}" if stopped else None
            # The console may be what failed.
            print(end or f"The run failed; partial run: {place}", file=sys.stderr)  # noqa: T201

    def _record_end(self, status: str, error: dict[str, str]) -> None:
        if not self.main:
            # Lightning kills the first rank when another dies, so record it here.
            found = read(self.folder)
            if found["status"] != "running":
                return
            self.record = found
            error = {**error, "rank": str(rank())}
        self.record.update({"status": status, "error": error})
        self._save()

    def update(self, **sections: Unpack[Record]) -> None:
        """Write new values to run.json; a mapping updates the section of that name key by key."""
        record: Any = self.record  # indexed by variables, which a TypedDict does not allow
        for name, value in sections.items():
            if isinstance(value, Mapping) and isinstance(record.get(name), dict):
                record[name].update(value)
            else:
                record[name] = value
        if self.main:
            self._save()

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the seconds that the block takes to ``timing``, which sums them over resumes."""
        start = time.perf_counter()
        yield
        self.add_time(what, time.perf_counter() - start)

    def add_time(self, what: str, seconds: float) -> None:
        """Add seconds under ``timing``."""
        self.update(timing={what: round((self.record["timing"].get(what) or 0) + seconds, 3)})

    def write(self, name: str, text: str) -> None:
        """Write a text file to the run folder."""
        if self.main:
            write_text(self.folder / name, text)

    def say(self, *renderables: RenderableType) -> None:
        """Print on the terminal, and to log.txt without colours."""
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
    # With a random part, since two jobs can start in the same second.
    now = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    folder = job or Path(cfg.paths.logs, cfg.name, f"{now}-{secrets.token_hex(4)}").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=job is not None)  # a job killed before it wrote anything
    except OSError as error:
        raise RunError(f"Expected to create the run folder {folder} but got: {error.strerror}.") from error
    return folder


def _new_record(cfg: DictConfig, command: str, folder: Path, repeats: Record | None, session: Session) -> Record:
    typed = session.typed
    if repeats is not None:
        typed = Typed(tuple(repeats["overrides"]), repeats["choices"], repeats.get("config_dir"))
    return {
        "schema": VERSION,
        "id": folder.name.rpartition("-")[2],
        "name": cfg.name,
        "status": "running",
        "started": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "process": process.identity(),
        "resumed": [],
        "repeats": repeats["id"] if repeats else None,
        "command": " ".join(["tunesmith", command, *typed.overrides]),
        "overrides": list(typed.overrides),
        "config_dir": typed.config_dir,
        "choices": typed.choices,
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
    """Return the seconds from the start of the process to its first run; 0 for later runs and a sweep's jobs."""
    return 0.0 if session.started is None else round(time.monotonic() - session.started, 3)


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the child processes that it waited for."""
    return sum(os.times()[:4])


def hash_of(cfg: DictConfig) -> str:
    """Return a digest of a configuration that does not depend on the run folder."""
    cfg = cfg.copy()
    cfg.paths.run = ANYWHERE  # other values refer to it
    return config_hash(redact(cfg))


def joined_folder(session: Session) -> Path | None:
    """Return the run folder in later processes of a distributed run; ``None`` in the first."""
    return None if is_main() else _shared_folder(session)


def is_main() -> bool:
    """Return whether this process is the first rank, also under torchrun and SLURM."""
    return rank() == 0


def _shared_folder(session: Session) -> Path:
    if session.run_folder is None:
        raise RunError(
            "Expected the first process to start the others (trainer=ddp) but got one started by something else: "
            f"set {FOLDER_VARIABLE} to the same run folder for all of them."
        )
    return session.run_folder
