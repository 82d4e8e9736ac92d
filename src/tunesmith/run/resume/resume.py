"""Find the run to resume and its newest checkpoint that holds; `last_checkpoint.py` says what is in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig, OmegaConf

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
from tunesmith.run.resume import changed
from tunesmith.run.resume.checkpoint import MANIFEST, holds, read_manifest
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST, relocated
from tunesmith.run.session import Session

AUTO = "auto"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A run to go on with.

    Attributes:
        folder: Its folder.
        record: Its run.json, as the run left it.
        cfg: Its configuration, whatever the present command line says.
        checkpoint: Where it goes on from; ``None`` where it came to no checkpoint: it begins again.
        entry: What the manifest says of the checkpoint: ``step`` and ``epoch``.
        said: Sentences that the user must see: what was passed over, and what is not as it was.
        forced: Whether it is to go on under other conditions.
        changes: What the command line changed in the configuration.
    """

    folder: Path
    record: dict[str, Any]
    cfg: DictConfig
    checkpoint: Path | None = None
    entry: dict[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    forced: bool = False
    changes: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.record["status"] == "completed")

    def check(self, about: Mapping[str, Any]) -> list[str]:
        """Compare data and initial weights with what the run began with; gives what the user must be told.

        Args:
            about: The sections ``data`` and, where there is one, ``init`` as they would be recorded now.

        Raises:
            RunError: They are others, or split otherwise, and that was not asked for.
        """
        return changed.enforce(self.folder, list(changed.data(self.record, about)), self.forced)


def find(cfg: DictConfig, session: Session | None = None) -> Found | None:
    """Find the run that ``resume`` asks for.

    Args:
        cfg: The configuration of the present command line.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.

    Returns:
        ``None`` for a new run.

    Raises:
        RunError: There is no such run, it is under way, or none of its checkpoints holds.
        ConfigError: The command line changes what is settled for the whole run.
    """
    session = session or Session.read()
    trust = session.trust
    joined = joined_folder(session)
    if joined is not None:  # a further process of a distributed run does what the first one decided
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
    """Go back to the last checkpoint of a run that has just failed in this process.

    Args:
        folder: Its folder.
        cfg: Its configuration.
        why: What it failed of.

    Raises:
        RunError: None of its checkpoints holds.
    """
    checkpoint, entry, said = choose(folder / "checkpoints")
    said.append(f"{why} Going back to step {entry.get('step', 0)}, at half the rates.")
    return Found(folder, read(folder), cfg, checkpoint, entry, tuple(said))


def _open(folder: Path, forced: bool, trust: Trust, asked: Mapping[str, Any] = MappingProxyType({})) -> Found:
    record = read(folder)
    if record["status"] == "completed":
        return Found(folder, record, DictConfig({}))
    if is_live(record):
        raise RunError(
            f"Expected a run that has ended but {folder} is under way, as process {record['process']['pid']}."
        )
    checkpoint, entry, said = choose(folder / "checkpoints")
    if checkpoint is None:
        said.append(f"{folder.name} came to no checkpoint: it begins again.")
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


def is_live(record: Mapping[str, Any]) -> bool:
    """Whether a run is under way in a process of this host."""
    return record["status"] == "running" and process.alive(record.get("process", {}))


def choose(folder: Path) -> tuple[Path | None, dict[str, Any], list[str]]:
    """Choose the newest checkpoint that holds, by its step in the manifest: clocks and copies lie.

    Args:
        folder: The folder of checkpoints.

    Returns:
        The checkpoint, or ``None`` where none was ever saved whole; what the manifest says of it; and which ones were
        passed over, a sentence each.

    Raises:
        RunError: Checkpoints were saved, and none of them holds.
    """
    there = [name for name in (LAST, BEFORE) if (folder / name).exists()]
    manifest = read_manifest(folder)
    listed = [name for name in (LAST, BEFORE) if name in manifest]
    names = sorted({*there, *listed}, key=lambda name: (-manifest.get(name, {"step": -1})["step"], name != LAST))
    said: list[str] = []
    for name in names:
        if holds(folder / name):
            return folder / name, manifest[name], said
        said.append(f"Passed over {name}: it is missing, or not what was written.")
    if names and (listed or not (folder / MANIFEST).is_file()):
        raise RunError(
            f"Expected a checkpoint in {folder} to go on from but got none that holds ({', '.join(names)}: missing, or "
            "not what was written); start a new run without resume."
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
            log.warning(f"Left {folder.name} alone: it may be under way on {host}; if not, use resume={folder}.")
            continue
        found.append((record["started"], folder))
    return max(found)[1].resolve() if found else None


def _runs(logs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(logs.glob("*/run.json")):
        try:
            yield path.parent, read(path.parent)
        except RunError as error:
            log.warning(f"Passed over {path.parent.name}: {error}")


def _recorded(folder: Path, trust: Trust) -> DictConfig:
    cfg = renamed.config(yaml_file.read(folder / "config.yaml"))
    plain = OmegaConf.to_container(cfg, resolve=False)
    cfg = DictConfig(relocated(plain, str(cfg.paths.run), str(folder)))
    # Where this user keeps a cache is not for a recorded run to say.
    return runnable(overlaid(cfg, {"paths.cache": None}), folder.name, trust)


def runnable(cfg: DictConfig, name: str, trust: Trust | None = None) -> DictConfig:
    """Check the recorded configuration of a training run before it is run again.

    Args:
        cfg: The configuration.
        name: What its run is called.
        trust: What the command may import; ``None`` for what the user allows whatever the command.

    Returns:
        The same, to be run from its beginning.

    Raises:
        ConfigError: It holds what was taken out as a secret, does not fit this version, or names what may not be run.
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
