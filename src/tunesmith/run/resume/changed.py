"""Find what has changed since a run began (configuration, data, code), and apply the changes that a resume may make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tunesmith.atomic import write_text
from tunesmith.compat.omegaconf import plain
from tunesmith.config import renamed, yaml_file
from tunesmith.config.overlay import overlaid
from tunesmith.config.redact import config_hash, redact
from tunesmith.data.table import SPLITS
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.record import environment
from tunesmith.run.record.schema import Data, Record
from tunesmith.run.resume.last_checkpoint import relocated

CODE = ("tunesmith", "torch", "torchvision", "lightning", "torchmetrics", "timm", "transformers", "tokenizers", "peft")
"""Packages whose version may change results."""

SETTLED = (
    *("backbone", "policy", "rates", "head", "task", "optimizer", "scheduler"),
    *("seed", "name", "init_from", "init_strict"),
)
"""Keys that checkpoints depend on, or that only matter at the start of a run."""

_RESUME = ("resume", "resume_force")

ANYWHERE = "<run>"
"""Placeholder for the run folder in configurations that are hashed."""


def enforce(folder: Path, differences: Sequence[str], forced: bool) -> list[str]:
    """Refuse to resume a run under other conditions unless forced.

    Returns:
        Sentences for the user.

    Raises:
        RunError: There are differences and ``forced`` is false.
    """
    if differences and not forced:
        raise RunError(
            f"Expected {folder.name} to resume as it began but got {'; '.join(differences)}: "
            "start a new run, or resume anyway with resume_force=true."
        )
    return [f"Resuming with {difference}, as asked: bits will differ." for difference in differences]


def code(record: Record) -> list[str]:
    """Return the packages whose version differs from the run's; packages that it did not have are left out."""
    differing = environment.changed(record).items()
    return [f"{n} {now} instead of {then}" for n, (then, now) in differing if n in CODE and then is not None]


def machine(record: Record) -> list[str]:
    """Return a warning for threads and devices that differ: they change the order of summation, and so bits."""
    return [
        f"The run began with {name} {then} and resumes with {now}: bits may differ."
        for name, (then, now) in environment.changed(record).items()
        if name in ("threads", "accelerators")
    ]


def data(record: Record, now: Record) -> Iterator[str]:
    """Yield how data and initial weights (``init_from``) differ from the run's.

    Args:
        record: Content of its run.json.
        now: Sections ``data`` and ``init`` as they would be recorded now.
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


def regrouped(before: Data, members: Mapping[str, str]) -> list[str]:
    """Return the splits whose samples differ from those that a run recorded.

    Args:
        before: Section ``data`` of its record; older ones have no members, and count as unchanged.
        members: Digest of the sample names in each split now.
    """
    then = before.get("members", members)
    return [name for name in SPLITS if then.get(name) != members.get(name)]


def edited(folder: Path, record: Record) -> list[str]:
    """Report a config.yaml that was edited since the run began."""
    now = hash_of_saved(_saved(folder, record))
    return [] if now == record.get("config_hash") else ["a config.yaml that was edited since"]


def _saved(folder: Path, record: Record) -> dict[str, object]:
    found = plain(yaml_file.read(folder / "config.yaml"))
    policy = found.get("policy")
    if record.get("policy", {}).get("gradients") and isinstance(policy, dict):
        policy["chosen"] = None  # as before the run chose
    return found


def configured(folder: Path, record: Record, config_hash: str) -> bool:
    """Return whether a run has the configuration with this hash; names of older versions are translated."""
    if record["config_hash"] == config_hash:
        return True
    try:
        saved = _saved(folder, record)
    except ConfigError:
        return False
    return hash_of_saved(saved) == record["config_hash"] and hash_of_saved(renamed.plain_config(saved)) == config_hash


def hash_of_saved(content: Mapping[str, object]) -> str:
    """Return the hash that a saved configuration had before its run folder was known."""
    return config_hash(relocated(content, run_folder(content), ANYWHERE))


def run_folder(content: Mapping[str, object]) -> str:
    """Return the run folder, ``paths.run``, of a saved configuration.

    Raises:
        ConfigError: It has none.
    """
    paths = content.get("paths")
    if not isinstance(paths, Mapping) or "run" not in paths:
        raise ConfigError("Expected a saved configuration with paths.run but got none; its config.yaml was altered.")
    return str(paths["run"])


def rewritten(folder: Path, cfg: DictConfig) -> str:
    """Save a changed configuration in its run folder and return its hash."""
    content = redact(cfg)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(content))
    return hash_of_saved(content)


def asked(cfg: DictConfig, words: Sequence[str]) -> dict[str, object]:
    """Return what a command line that resumes a run changes.

    Returns:
        Plain values by key; for a group chosen anew, the whole group.

    Raises:
        ConfigError: A key is settled for the whole run, or is not in the run's configuration.
    """
    content = plain(cfg)
    found = {}
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if key in _RESUME:
            continue
        if key.split(".")[0] in SETTLED:
            raise ConfigError(
                f"Expected nothing about {key.split('.')[0]} with resume, since it is settled for the whole run, but "
                f"got {word}; start a new run from its weights with init_from."
            )
        value: object = content
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value or key in ("experiment", "debug"):
                raise ConfigError(f"Expected a key of the run's own configuration with resume but got {word}.")
            value = value[part]
        found[key] = value
    return found


def apply(cfg: DictConfig, changes: Mapping[str, object]) -> tuple[DictConfig, list[str]]:
    """Apply changes to a recorded configuration.

    Returns:
        The changed configuration, and a phrase for each value that differs.
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
