"""Decide which classes a ``_target_`` may name, before importing anything.

Three kinds pass. First, what `config/known.py` lists, by exact name. Second, what the user allowed, with ``--allow``,
in the variable ``TUNESMITH_ALLOW`` or in their own settings: classes defined in an allowed module, or anything by its
exact name. Third, for a training run that the user composes: classes and functions defined in a module in the current
folder.

The third kind is for plug-ins, and lasts only as long as the process: a recorded configuration may come from anywhere,
together with modules beside it, so it may name only the first two kinds, and what this process has trained with.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from platformdirs import user_config_path

from tunesmith.config import yaml_file
from tunesmith.config.check import source
from tunesmith.config.check.source import AbsentError, Definition, Found, UnreadableError
from tunesmith.config.known import TARGETS
from tunesmith.errors import ConfigError, nearest

VARIABLE = "TUNESMITH_ALLOW"

_plug_ins: set[str] = set()  # targets in the current folder, named by a run that was composed in this process


def allow(names: Sequence[str]) -> None:
    """Allow modules, or exact names, in this process and its children.

    Args:
        names: Such as ``my_backbone``, ``torchmetrics.image`` or ``timm.create_model``.

    Raises:
        ConfigError: One is not a dotted name.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"Expected --allow to name a module, such as my_backbone, but got '{name}'.")
    os.environ[VARIABLE] = ",".join(filter(None, [os.environ.get(VARIABLE, ""), *names]))


def allowed() -> set[str]:
    """Return the modules and exact names that the user allowed, by flag, environment variable or settings.

    Raises:
        ConfigError: The settings file is malformed.
    """
    return {*re.findall(r"[^\s,:;]+", os.environ.get(VARIABLE, "")), *_settings()}


def settings_file() -> Path:
    """Return the user's settings file, such as ``~/.config/tunesmith/settings.yaml``, with ``allow: [my_backbone]``."""
    return user_config_path("tunesmith") / "settings.yaml"


def _settings() -> list[str]:
    path = settings_file()
    if not path.is_file():
        return []
    found: Any = OmegaConf.to_container(yaml_file.read(path), resolve=False)
    names = found.get("allow", [])
    if set(found) - {"allow"} or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"Expected {path} to hold 'allow:' with a list of modules, and nothing else.")
    return names


def passes(target: str, plug_ins: bool = False) -> bool:
    """Return whether a target may be imported.

    Args:
        target: Its dotted path.
        plug_ins: Whether modules in the current folder are accepted, as for a run that the user composes.
    """
    if target in TARGETS or target in _plug_ins or _is_allowed(target):
        return True
    if plug_ins and _is_plug_in(target):
        _plug_ins.add(target)
        return True
    return False


def refusal(target: str) -> str:
    """Return the end of a message about a target that does not pass: what was expected, and the way out."""
    definition = _definition(target)
    name = target.rpartition(".")[0] if definition and isinstance(definition.node, ast.ClassDef) else target
    near = nearest(target, TARGETS)
    near = near if near.startswith(" Did") else ""
    return (
        f"to be a class that tunesmith knows but got '{target}'.{near} If you trust what it runs, add "
        f"'--allow {name}' or name it in {VARIABLE}."
    )


def require(node: Any) -> None:
    """Check every target in plain data, at any depth.

    Raises:
        ConfigError: A target does not pass.
    """
    refused = [t for t in dict.fromkeys(targets(node)) if not isinstance(t, str) or not passes(t)]
    if refused:
        raise ConfigError([f"Expected _target_ {refusal(str(t))}" for t in refused])


def targets(node: Any) -> Iterator[Any]:
    """Yield every ``_target_`` in plain data."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"] if isinstance(node["_target_"], str) else str(node["_target_"])
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from targets(value)


def _is_allowed(target: str) -> bool:
    names = allowed()
    if target in names:
        return True
    modules = [name for name in names if target.startswith(f"{name}.")]
    found = _definition(target) if modules else None
    if found is None or not isinstance(found.node, ast.ClassDef):
        return False
    # An allowed module admits only what it defines itself, not what it happens to import.
    return any(f"{found.module.name}.".startswith(f"{module}.") for module in modules)


def _is_plug_in(target: str) -> bool:
    top, folder = target.partition(".")[0], Path.cwd()
    files = [file for file in (folder / top / "__init__.py", folder / f"{top}.py") if file.is_file()]
    if not files or {"site-packages", "dist-packages"} & set(folder.parts):
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None or not spec.origin or not Path(spec.origin).exists() or not files[0].samefile(spec.origin):
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
