"""Find the run to resume and its newest intact checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from omegaconf import DictConfig, OmegaConf

from tunesmith.compat.omegaconf import plain
from tunesmith.config import renamed, yaml_file
from tunesmith.config.check.check import check
from tunesmith.config.confine import confine
from tunesmith.config.gate import Trust
from tunesmith.config.overlay import overlaid
from tunesmith.config.redact import REDACTED
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.record import process
from tunesmith.run.record.record import hash_of, joined_folder
from tunesmith.run.record.run_folder import read
from tunesmith.run.record.schema import Record
from tunesmith.run.resume import changed
from tunesmith.run.resume.checkpoint import MANIFEST, Entry, holds, read_manifest
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST, relocated
from tunesmith.run.session import Session

AUTO = "auto"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A run to resume.

    Attributes:
        folder: Run folder.
        record: Content of its run.json.
        cfg: Its configuration, with the changes that the command line asks for.
        checkpoint: Checkpoint to resume from; ``None`` if there is none, so that the run starts over.
        entry: The checkpoint's entry in the manifest.
        said: Sentences for the user: skipped checkpoints and differences.
        forced: Whether to resume under other conditions.
        changes: Phrases for what the command line changes.
    """

    folder: Path
    record: Record
    cfg: DictConfig
    checkpoint: Path | None = None
    entry: Entry = field(default_factory=Entry)
    said: tuple[str, ...] = ()
    forced: bool = False
    changes: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        """Whether nothing is left to do."""
        return self.record["status"] == "completed"

    def check(self, about: Record) -> list[str]:
        """Compare data and initial weights with the run's.

        Args:
            about: Sections ``data`` and, if any, ``init`` as they would be recorded now.

        Returns:
            Sentences for the user.

        Raises:
            RunError: They differ and the resume is not forced.
        """
        return changed.enforce(self.folder, list(changed.data(self.record, about)), self.forced)


def find(cfg: DictConfig, session: Session | None = None) -> Found | None:
    """Find the run that ``resume`` asks for.

    Args:
        cfg: Configuration of the command line.
        session: The command's session; ``None`` to read it from the environment.

    Returns:
        ``None`` for a new run.

    Raises:
        RunError: There is no such run, it is in progress, or none of its checkpoints is intact.
        ConfigError: The command line changes something settled for the whole run.
    """
    session = session or Session.read()
    trust = session.trust
    joined = joined_folder(session)
    if joined is not None:  # a later process of a distributed run
        return _rejoin(joined, trust)
    own = session.job
    if own is not None:
        return _open(own, cfg.resume_force, trust) if (own / "run.json").is_file() else None
    if cfg.resume is None:
        return None
    if cfg.resume == AUTO:
        folder = _newest_unfinished(cfg)
        if folder is None:
            return None
        found = _open(folder, cfg.resume_force, trust)
        return replace(found, cfg=overlaid(found.cfg, {"paths.cache": cfg.paths.cache}))
    folder = Path(cfg.resume).expanduser().resolve()
    return _open(folder, cfg.resume_force, trust, changed.asked(cfg, session.typed.overrides))


def back(folder: Path, cfg: DictConfig, why: Exception) -> Found:
    """Return to the last checkpoint of a run that has just failed in this process.

    Raises:
        RunError: None of its checkpoints is intact.
    """
    checkpoint, entry, said = choose(folder / "checkpoints")
    said.append(f"{why} Going back to step {entry.get('step', 0)}, at half the rates.")
    return Found(folder, read(folder), cfg, checkpoint, entry, tuple(said))


def _open(folder: Path, forced: bool, trust: Trust, asked: Mapping[str, object] = MappingProxyType({})) -> Found:
    record = read(folder)
    if record["status"] == "completed":
        return Found(folder, record, DictConfig({}))
    if is_live(record):
        raise RunError(
            f"Expected a run that has ended but {folder} is in progress, as process {record['process']['pid']}."
        )
    checkpoint, entry, said = choose(folder / "checkpoints")
    if checkpoint is None:
        said.append(f"{folder.name} has no checkpoint: it starts over.")
    cfg = _recorded(folder, trust)
    cfg, changes = changed.apply(cfg, asked)
    differences = [*changes, *changed.edited(folder, record), *changed.code(record)]
    said += [*changed.enforce(folder, differences, forced), *changed.machine(record)]
    check(cfg, recorded=True, trust=trust)
    return Found(folder, record, cfg, checkpoint, entry, tuple(said), forced, tuple(changes))


def _rejoin(folder: Path, trust: Trust) -> Found | None:
    record = read(folder)
    if not record["resumed"]:
        return None
    name = record["resumed"][-1]["checkpoint"]
    return Found(folder, record, _recorded(folder, trust), folder / "checkpoints" / name if name else None)


def is_live(record: Record) -> bool:
    """Return whether a run is in progress in a process of this host."""
    return record["status"] == "running" and process.alive(record.get("process", {}))


def choose(folder: Path) -> tuple[Path | None, Entry, list[str]]:
    """Choose the newest intact checkpoint by its step in the manifest, since file times are unreliable.

    Returns:
        The checkpoint, or ``None`` if no save ever completed; its entry in the manifest; and a sentence for each
        skipped one.

    Raises:
        RunError: Checkpoints were saved and none of them is intact.
    """
    there = [name for name in (LAST, BEFORE) if (folder / name).exists()]
    manifest = read_manifest(folder)
    listed = [name for name in (LAST, BEFORE) if name in manifest]
    names = sorted({*there, *listed}, key=lambda name: (-manifest.get(name, {"step": -1})["step"], name != LAST))
    said: list[str] = []
    for name in names:
        if holds(folder / name):
            return folder / name, manifest[name], said
        said.append(f"Skipped {name}: it is missing or was altered.")
    if names and (listed or not (folder / MANIFEST).is_file()):
        raise RunError(
            f"Expected an intact checkpoint in {folder} but got none ({', '.join(names)}: missing or altered); start a "
            "new run without resume."
        )
    return None, {}, said


def _newest_unfinished(cfg: DictConfig) -> Path | None:
    wanted = hash_of(cfg)
    found = []
    for folder, record in _runs(Path(cfg.paths.logs, cfg.name)):
        if record["status"] == "completed" or not changed.configured(folder, record, wanted) or is_live(record):
            continue
        if record["status"] == "running" and process.elsewhere(record.get("process", {})):
            host = record.get("process", {}).get("host")
            log.warning(f"Left {folder.name} alone: it may be in progress on {host}; if not, use resume={folder}.")
            continue
        found.append((record["started"], folder))
    return max(found)[1].resolve() if found else None


def _runs(logs: Path) -> Iterator[tuple[Path, Record]]:
    for path in sorted(logs.glob("*/run.json")):
        try:
            yield path.parent, read(path.parent)
        except RunError as error:
            log.warning(f"Skipped {path.parent.name}: {error}")


def _recorded(folder: Path, trust: Trust) -> DictConfig:
    cfg = renamed.config(yaml_file.read(folder / "config.yaml"))
    content = plain(cfg)
    cfg = DictConfig(relocated(content, changed.run_folder(content), str(folder)))
    # A recorded run must not decide where this user keeps a cache.
    return runnable(overlaid(cfg, {"paths.cache": None}), folder.name, trust)


def runnable(cfg: DictConfig, name: str, trust: Trust | None = None) -> DictConfig:
    """Check the recorded configuration of a training run before running it again.

    Returns:
        The configuration, with ``resume`` unset.

    Raises:
        ConfigError: It contains redacted secrets, does not fit this version, or names something that may not be run.
    """
    if REDACTED in OmegaConf.to_yaml(cfg):
        raise ConfigError(
            f"Expected the secrets of {name} to come from the environment, as ${{oc.env:NAME}}, but they were "
            "typed, and typed secrets are not recorded."
        )
    cfg = overlaid(cfg, {"resume": None})
    check(cfg, recorded=True, trust=trust)
    confine(cfg)
    return cfg
