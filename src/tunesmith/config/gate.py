"""Decide which classes a ``_target_`` may name, before importing anything.

Three kinds pass. First, what `config/known.py` lists, by exact name. Second, what the user allowed, with ``--allow``,
in the variable ``TUNESMITH_ALLOW`` or in their own settings: classes defined in an allowed module, or anything by its
exact name. Third, for a training run that the user composes: classes and functions defined in a module in the current
folder.

The third is for plug-ins, and it ends with the command: a recorded configuration may have come from anywhere, together
with modules that lie beside it, so it may name only the first two kinds, and what the same command trains with.

Who may name what is a value, `Trust`, which travels from the command to whatever checks or builds.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from platformdirs import user_config_path

from tunesmith.compat.omegaconf import plain
from tunesmith.config import yaml_file
from tunesmith.config.check import present, source
from tunesmith.config.check.source import AbsentError, Definition, Found, UnreadableError
from tunesmith.config.known import known
from tunesmith.errors import ConfigError, nearest

VARIABLE = "TUNESMITH_ALLOW"


@dataclass(frozen=True)
class Trust:
    """What one command may import besides what `config/known.py` lists.

    Attributes:
        allowed: Modules, and exact names, that the user allowed.
        plug_ins: Targets in the present folder that the configuration which the user composed names.
        flags: Those of `allowed` that the command line names, which may lie in the present folder too.
    """

    allowed: frozenset[str] = frozenset()
    plug_ins: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()

    def passes(self, target: str) -> bool:
        """Whether a target may be imported.

        Args:
            target: Its dotted path.
        """
        return target in known() or target in self.plug_ins or _is_allowed(target, self.allowed)

    def require(self, node: object) -> None:
        """Check every target in plain data, at whatever depth; those of the present folder can then be imported.

        Raises:
            ConfigError: One does not pass.
        """
        named = list(dict.fromkeys(targets(node)))
        refused = [t for t in named if not self.passes(t)]
        if refused:
            raise ConfigError([f"Expected _target_ {refusal(t)}" for t in refused])
        for target in named:
            self.admit(target)

    def admit(self, target: str) -> None:
        """Let a target that passes be imported from the present folder, if it was named for this command.

        Raises:
            ConfigError: It is nowhere else, and was not.
        """
        top = target.partition(".")[0]
        if target in self.plug_ins or _is_allowed(target, self.flags):
            present.admit(top)
        elif target not in known() and not present.elsewhere_found(top) and present.spec(top):
            raise ConfigError(
                f"Expected {top} on Python's path, since {VARIABLE} and the settings allow no module of the current "
                f"folder, but it lies only there; say --allow {top}, or install it."
            )

    def composing(self, cfg: DictConfig, command: str = "train") -> Trust:
        """Trust also the plug-ins that a configuration names which the user composed, where it begins a training run.

        Args:
            cfg: The configuration; never one that was recorded.
            command: The command that it is for.
        """
        if command != "train" or OmegaConf.select(cfg, "resume", default=None) not in (None, "auto"):
            return self
        unknown = {t for t in _named(cfg) if not self.passes(t) and _is_dotted(t)}
        return replace(self, plug_ins=self.plug_ins | {t for t in unknown if _is_plug_in(t)})


def trust(names: Sequence[str] = ()) -> Trust:
    """Read whom the user trusts: from the command line, the variable ``TUNESMITH_ALLOW`` and the user's settings.

    Args:
        names: Those of ``--allow``, such as ``my_backbone``, ``torchmetrics.image`` or ``timm.create_model``.

    Raises:
        ConfigError: One is no dotted name, or the settings are not as they should be.
    """
    for name in names:
        if not _is_dotted(name):
            raise ConfigError(f"Expected --allow to name a module, such as my_backbone, but got '{name}'.")
    flags = frozenset(names)
    return Trust(
        flags | frozenset({*re.findall(r"[^\s,:;]+", os.environ.get(VARIABLE, "")), *_settings()}), flags=flags
    )


def settings_file() -> Path:
    """Return the user's settings file, such as ``~/.config/tunesmith/settings.yaml``, with ``allow: [my_backbone]``."""
    return user_config_path("tunesmith") / "settings.yaml"


def _settings() -> list[str]:
    path = settings_file()
    if not path.is_file():
        return []
    found = plain(yaml_file.read(path))
    names = found.get("allow", [])
    if set(found) - {"allow"} or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"Expected {path} to hold 'allow:' with a list of modules, and nothing else.")
    return names


def refusal(target: str) -> str:
    """Return the end of a message about a target that does not pass: what was expected, and the way out."""
    definition = _definition(target)
    name = target.rpartition(".")[0] if definition and isinstance(definition.node, ast.ClassDef) else target
    near = nearest(target, known())
    near = near if near.startswith(" Did") else ""
    return (
        f"to be a class that tunesmith knows but got '{target}'.{near} If you trust what it runs, add "
        f"'--allow {name}' or name it in {VARIABLE}."
    )


def targets(node: object) -> Iterator[str]:
    """Yield every ``_target_`` in plain data."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _named(node: Container) -> Iterator[str]:
    """Every target in a configuration, references resolved; those that cannot be are for the check to find."""
    for key in range(len(node)) if isinstance(node, ListConfig) else node:
        try:
            value = node[key]
        except OmegaConfBaseException:
            continue
        if isinstance(value, DictConfig | ListConfig):
            yield from _named(value)
        elif key == "_target_" and isinstance(value, str):
            yield value


def _is_allowed(target: str, names: frozenset[str]) -> bool:
    if target in names:
        return True
    modules = [name for name in names if target.startswith(f"{name}.")]
    found = _definition(target) if modules else None
    if found is None or not isinstance(found.node, ast.ClassDef):
        return False
    # An allowed module admits only what it defines itself, not what it happens to import.
    return any(f"{found.module.name}.".startswith(f"{module}.") for module in modules)


def _is_plug_in(target: str) -> bool:
    top = target.partition(".")[0]
    here = present.spec(top)
    try:
        first = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if here is None or (first is not None and not present.same(first.origin, here.origin)):
        return False  # another module of that name comes first on the path
    found = _definition(target)
    return found is not None and found.module.name.partition(".")[0] == top


def _definition(target: str) -> Found | None:
    """Return the class or function that a target names, from its source; ``None`` for methods and unreadable code."""
    try:
        found, owner = source.resolve(target)
    except (AbsentError, UnreadableError, RecursionError):
        return None
    return found if owner is None and isinstance(found.node, Definition) else None
