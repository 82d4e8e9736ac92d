"""What is not as it was when a run began: its configuration, its data, its code; and what may be changed under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tunesmith.atomic import write_text
from tunesmith.config import renamed, yaml_file
from tunesmith.config.overlay import overlaid
from tunesmith.config.redact import config_hash, redact
from tunesmith.data.table import SPLITS
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.record import environment
from tunesmith.run.resume.last_checkpoint import relocated

CODE = ("tunesmith", "torch", "torchvision", "lightning", "torchmetrics", "timm", "transformers", "tokenizers", "peft")
"""Packages whose version may change what a run computes."""

SETTLED = (
    *("backbone", "policy", "rates", "head", "task", "optimizer", "scheduler"),
    *("seed", "name", "init_from", "init_strict"),
)
"""What a checkpoint holds the state of, or what only the start of a run depends on."""

_RESUME = ("resume", "resume_force")

ANYWHERE = "<run>"
"""What stands for the run folder where a configuration is to be the same wherever it is run."""


def enforce(folder: Path, differences: Sequence[str], forced: bool) -> list[str]:
    """Refuse to go on with a run under other conditions, unless that is asked for.

    Args:
        folder: Its folder.
        differences: What is not as it was, each as "this instead of that".
        forced: Whether to go on all the same.

    Returns:
        What the user must be told.

    Raises:
        RunError: There are differences, and nobody asked for them.
    """
    if differences and not forced:
        raise RunError(
            f"Expected {folder.name} to go on as it began but got {'; '.join(differences)}: "
            "start a new run, or go on all the same with resume_force=true."
        )
    return [f"As asked, the run goes on with {difference}: bits differ." for difference in differences]


def code(record: Mapping[str, Any]) -> list[str]:
    """Versions that differ from those that a run began with; what it did not have, it did not use."""
    differing = environment.changed(record).items()
    return [f"{n} {now} instead of {then}" for n, (then, now) in differing if n in CODE and then is not None]


def machine(record: Mapping[str, Any]) -> list[str]:
    """What differs of the threads and the devices that sums are split over: bits may differ, which a sentence says."""
    return [
        f"The run began with {name} {then} and goes on with {now}: bits may differ."
        for name, (then, now) in environment.changed(record).items()
        if name in ("threads", "accelerators")
    ]


def data(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """How the data, and the weights that ``init_from`` names, differ from those that a run began with.

    Args:
        record: Its run.json.
        now: The sections ``data`` and ``init`` as they would be recorded now.
    """
    before = record["data"]
    if before.get("fingerprint") and before.get("unlabelled") != now["data"].get("unlabelled"):
        yield "other texts without labels"
    if before.get("fingerprint") not in (None, now["data"]["fingerprint"]):
        yield f"other data (fingerprint {now['data']['fingerprint']} instead of {before['fingerprint']})"
    elif moved := regrouped(before, now["data"]["members"]):
        yield f"other images in {' and '.join(moved)}"
    start, weights = record.get("init"), now.get("init")
    if start and weights and start["hash"] != weights["hash"]:
        yield f"other weights of {weights['source']} (hash {weights['hash']} instead of {start['hash']})"


def regrouped(before: Mapping[str, Any], members: Mapping[str, str]) -> list[str]:
    """Name the splits that do not hold the images that they held when a run recorded its ``data``.

    Args:
        before: The record's section; one of before splits were recorded tells nothing.
        members: Digest of the names in each split now.
    """
    then = before.get("members", members)
    return [name for name in SPLITS if then.get(name) != members.get(name)]


def edited(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Whether a run's config.yaml is not what the run began with."""
    now = hash_of_saved(_saved(folder, record))
    return [] if now == record.get("config_hash") else ["a config.yaml that was edited since"]


def _saved(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(yaml_file.read(folder / "config.yaml"), resolve=False)
    if record.get("policy", {}).get("gradients"):
        plain["policy"]["chosen"] = None  # as it was before the run chose
    return dict(plain)


def configured(folder: Path, record: Mapping[str, Any], config_hash: str) -> bool:
    """Whether a run was configured so, by the hash of a configuration; names of older versions count as today's."""
    if record["config_hash"] == config_hash:
        return True
    try:
        saved = _saved(folder, record)
    except ConfigError:
        return False
    return hash_of_saved(saved) == record["config_hash"] and hash_of_saved(renamed.plain_config(saved)) == config_hash


def hash_of_saved(plain: Mapping[str, Any]) -> str:
    """The hash that a configuration had before the run folder was known, from what is saved of it."""
    found: dict[str, Any] = relocated(plain, str(plain["paths"]["run"]), ANYWHERE)
    return config_hash(found)


def rewritten(folder: Path, cfg: DictConfig) -> dict[str, str]:
    """Keep a configuration that was changed under way in its run folder; gives what run.json is to say of it."""
    plain = redact(cfg)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(plain))
    return {"config_hash": hash_of_saved(plain)}


def asked(cfg: DictConfig, words: Sequence[str]) -> dict[str, Any]:
    """What a command line that goes on with a run wants to be otherwise.

    Args:
        cfg: The configuration of the command line.
        words: The overrides that were typed.

    Returns:
        Plain values by key; of a group that was chosen anew, all of it.

    Raises:
        ConfigError: Something is settled for the whole run, or cannot be laid over a finished configuration.
    """
    plain = OmegaConf.to_container(cfg, resolve=False)
    found = {}
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if key in _RESUME:
            continue
        if key.split(".")[0] in SETTLED:
            raise ConfigError(
                f"Expected nothing about {key.split('.')[0]} with resume, since it is settled for the whole run, but "
                f"got {word}; begin a new run with its weights by init_from."
            )
        value: Any = plain
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value or key in ("experiment", "debug"):
                raise ConfigError(f"Expected a key of the run's own configuration with resume but got {word}.")
            value = value[part]
        found[key] = value
    return found


def apply(cfg: DictConfig, changes: Mapping[str, Any]) -> tuple[DictConfig, list[str]]:
    """Lay what was asked for over a recorded configuration.

    Args:
        cfg: The recorded one, which is left as it is.
        changes: As `asked` gives them.

    Returns:
        The configuration with the changes, and a phrase for each value that really differs.
    """
    differences, others = [], {}
    for key, value in changes.items():
        before = OmegaConf.select(cfg, key)
        old = OmegaConf.to_container(before) if OmegaConf.is_config(before) else before
        if old != value:
            others[key] = value
            differences.append(
                f"another {key}" if isinstance(value, dict | list) else f"{key} {value} instead of {old}"
            )
    return overlaid(cfg, others), differences
