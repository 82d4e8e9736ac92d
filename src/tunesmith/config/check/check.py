"""Check a composed configuration before building anything: report all wrong targets, arguments and types at once."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from omegaconf import Container, DictConfig, DictKeyType, ListConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from tunesmith.compat.omegaconf import reference
from tunesmith.config import find, gate
from tunesmith.config.check import annotation, signature, source
from tunesmith.config.check.annotation import OBJECT
from tunesmith.config.check.signature import Parameter, Signature
from tunesmith.config.check.source import AbsentError, UnreadableError
from tunesmith.config.gate import Trust
from tunesmith.config.hydra.app import sentence
from tunesmith.config.known import SUPPLIED
from tunesmith.errors import ConfigError, nearest

SPECIAL = frozenset({"_target_", "_args_", "_partial_", "_recursive_", "_convert_"})
"""Keys of a node that belong to Hydra."""
_UNKNOWN = object()  # a value that could not be read; its mistake has been noted already


class Mistake(NamedTuple):
    """A mistake in a configuration.

    Attributes:
        path: Dotted path of the key.
        text: The message for the user.
    """

    path: str
    text: str


def check(
    cfg: DictConfig,
    command: str = "train",
    config_dirs: Sequence[str | Path] = (),
    recorded: bool = False,
    trust: Trust | None = None,
) -> Trust:
    """Check a composed configuration.

    Args:
        cfg: The configuration without Hydra's node, as `compose.compose` returns it.
        command: The command it belongs to.
        config_dirs: As for `compose.compose`.
        recorded: Whether it was read from a run folder, which may have come from anywhere.
        trust: What the command may import; ``None`` for what the user allows whatever the command.

    Returns:
        What the command may import, with the plug-ins that a composed configuration names.

    Raises:
        ConfigError: It contains mistakes; all are listed.
    """
    trust = (trust or gate.trust()) if recorded else (trust or gate.trust()).composing(cfg, command)
    try:
        found = mistakes(cfg, command, find.group_names(find.conf_dirs(config_dirs)), trust)
    except OmegaConfBaseException as error:
        raise ConfigError(f"Expected a whole configuration but got: {str(error).splitlines()[0]}.") from error
    if found:
        raise ConfigError([m.text for m in found])
    return trust


def mistakes(cfg: DictConfig, command: str, groups: Iterable[str], trust: Trust) -> list[Mistake]:
    """List what is wrong with a composed configuration, for a command that may import what ``trust`` lets pass."""
    checker = _Checker(trust)
    cfg = cfg.copy()
    paths = OmegaConf.select(cfg, "paths", throw_on_resolution_failure=False)
    if isinstance(paths, DictConfig) and OmegaConf.select(paths, "run", default="") is None:
        OmegaConf.update(cfg, "paths.run", "<run>")  # known only once the run folder exists
    _complete_phases(cfg)
    root = root_signature(command)
    groups = set(groups) - set(root.parameters)
    for key in cfg:
        name = str(key)
        if name not in groups and not root.accepts(name):
            checker.note(name, unknown_key(name, [*root.parameters, *groups]))
    checker.arguments(cfg, root, "", only=frozenset(root.parameters))
    # The cache changes no results, and a single run has no sweep: both groups are optional.
    needed = {path.partition(".")[0] for path in SUPPLIED} - {"cache", "sweep"} if command == "train" else set()
    for name in sorted(needed - set(cfg)):
        checker.note(name, f"Expected the group {name} to be there, but it is missing: choose one of its options.")
    for key in [k for k in cfg if k in groups]:
        checker.node(cfg, key, str(key))
    checker.place(cfg)
    return checker.found


def _complete_phases(cfg: DictConfig) -> None:
    """Add the run's target to a phase's partial optimizer or scheduler, so that it can be checked."""
    phases = OmegaConf.select(cfg, "policy.phases", throw_on_resolution_failure=False, default=())
    for phase in phases if isinstance(phases, ListConfig) else ():
        for name in ("optimizer", "scheduler"):
            node = phase.get(name) if isinstance(phase, DictConfig) else None
            own = OmegaConf.select(cfg, name, default=None, throw_on_resolution_failure=False)
            target = own.get("_target_") if isinstance(own, DictConfig) else None
            if isinstance(node, DictConfig) and "_target_" not in node and target:
                with flag_override(node, "struct", False):
                    node.update(_target_=target, _partial_=True)  # partial: the run's node has the other arguments


def root_signature(command: str) -> Signature:
    """Return the root keys of a command; any key is accepted if `schema` has no class for it."""
    try:
        return signature.read(f"tunesmith.config.schema.{command.title().replace('_', '')}")
    except AbsentError:
        return Signature(open=True)


def supplied(path: str) -> tuple[str, ...]:
    """Return the names of the arguments that code passes to the target at a config path."""
    depth = path.count(".")
    return tuple(n for p, names in SUPPLIED.items() if p.count(".") == depth and fnmatchcase(path, p) for n in names)


def _has_parts(path: str) -> bool:
    """Return whether the supplied argument is built from child nodes, as ``task.metrics`` is."""
    return any(p.startswith(f"{path}.") for p in SUPPLIED)


def unknown_key(key: str, valid: Iterable[str]) -> str:
    """Return the message for an unknown key; ``valid`` are the dotted keys allowed in its place."""
    last = {name.rpartition(".")[2]: name for name in valid}
    near = difflib.get_close_matches(key.rpartition(".")[2], last)
    return f"Expected a key that exists but got '{key}'.{nearest(key, [last[n] for n in near] or last.values())}"


def wrong_type(path: str, value: object, parameter: Parameter) -> str | None:
    """Return the message for a value of the wrong type; ``None`` if it fits."""
    kind, module = parameter.annotation, parameter.module
    default_is_none = isinstance(parameter.default, ast.Constant) and parameter.default.value is None
    if value is _UNKNOWN or kind is None or (value is None and default_is_none):
        return None
    if annotation.fits(value, kind, module):
        return None
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    way_out = annotation.suggestion(value, kind, module)
    return f"Expected {path} to be {annotation.describe(kind, module)} but got {shown}.{way_out}"


class _Checker:
    """Walks a configuration and collects every mistake.

    Args:
        trust: What passes the gate.

    Attributes:
        found: The mistakes, in the configuration's order.
    """

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.found: list[Mistake] = []

    def note(self, path: str, text: str) -> None:
        self.found.append(Mistake(path, text))

    def place(self, cfg: DictConfig) -> None:
        """Check that the run's folder stays below paths.logs, and that the run referred to is a local folder."""
        name = OmegaConf.select(cfg, "name", default="", throw_on_resolution_failure=False)
        if isinstance(name, str) and leaves(name):
            self.note("name", f"Expected name to stay in paths.logs but got '{name}': leave out what leads out of it.")
        for key in ("run", "resume", "init_from"):
            value = OmegaConf.select(cfg, key, default="", throw_on_resolution_failure=False)
            if isinstance(value, str) and "://" in value:
                self.note(key, f"Expected {key} to be a local folder but got the address '{value}': download it first.")

    def node(self, parent: Container, key: DictKeyType, path: str) -> object:
        """Check the value at a key and return it as plain data, with `OBJECT` for nodes with a ``_target_``."""
        if OmegaConf.is_missing(parent, key):
            self.note(path, f"Expected {path} to be given, but it is missing: add '{path}=…'.")
            return _UNKNOWN
        try:
            value = parent[key]
        except OmegaConfBaseException as error:
            self.note(path, f"Expected {path} to have a value but got an error: {sentence(error)}")
            return _UNKNOWN
        if isinstance(value, ListConfig):
            return [self.node(value, i, f"{path}.{i}") for i in range(len(value))]
        if not isinstance(value, DictConfig):
            return value
        if "_target_" in value:
            self.target(value, path)
            return OBJECT
        return {str(k): self.node(value, k, f"{path}.{k!s}") for k in value}

    def target(self, node: DictConfig, path: str) -> None:
        """Check a node with a ``_target_``."""
        target = self.node(node, "_target_", f"{path}._target_")
        if target is _UNKNOWN:
            return
        if not isinstance(target, str) or not all(p.isidentifier() for p in target.split(".")):
            self.note(path, f"Expected {path}._target_ to be the dotted path of a class but got {target!r}.")
            return
        try:
            if not self.trust.passes(target):
                with suppress(UnreadableError):
                    source.resolve(target)  # report a misspelling as such
                self.note(path, f"Expected {path}._target_ {gate.refusal(target)}")
                return
            signed = signature.read(target, self.trust)
        except AbsentError as error:
            self.note(path, _absent(path, target, error))
            return
        self.arguments(node, signed, path)

    def arguments(self, node: DictConfig, signed: Signature, path: str, only: frozenset[str] | None = None) -> None:
        """Check the keys of a node against its target's signature."""
        if "_args_" in node:
            self.node(node, "_args_", f"{path}._args_")
        by_code = supplied(path) if path else ()
        prefix = f"{path}." if path else ""
        given = [str(k) for k in node if k not in SPECIAL and (only is None or k in only)]
        for name in given:
            value = self.node(node, name, prefix + name)
            parameter = signed.parameters.get(name)
            if name in by_code and not _has_parts(prefix + name):
                self.note(prefix + name, f"Expected {prefix}{name} to be left out: it is worked out by tunesmith.")
            elif not signed.accepts(name):
                valid = [prefix + p for p in signed.parameters if p not in by_code]
                self.note(prefix + name, unknown_key(prefix + name, valid))
            elif parameter and reference(node, name) not in {m.path for m in self.found}:
                self.typed(prefix + name, value, parameter)
        if not node.get("_partial_", False):
            self.required(node, signed, path, {*given, *by_code})

    def typed(self, path: str, value: object, parameter: Parameter) -> None:
        """Check the type of one value."""
        if any(v is _UNKNOWN for v in _leaves(value)):
            return
        if isinstance(value, dict) and parameter.module and parameter.annotation:
            declared = _declared(parameter)
            if declared:
                self.fields(path, value, declared)
                return
        text = wrong_type(path, value, parameter)
        if text:
            self.note(path, text)

    def fields(self, path: str, value: dict[object, object], signed: Signature) -> None:
        """Check a plain node whose type is one of our dataclasses, such as `schema.Paths`."""
        for name, item in value.items():
            if not signed.accepts(str(name)):
                self.note(f"{path}.{name}", unknown_key(f"{path}.{name}", [f"{path}.{p}" for p in signed.parameters]))
            elif str(name) in signed.parameters:
                self.typed(f"{path}.{name}", item, signed.parameters[str(name)])

    def required(self, node: DictConfig, signed: Signature, path: str, given: set[str]) -> None:
        """Note missing arguments that have no default."""
        positional = len(node.get("_args_") or ())
        for name, parameter in list(signed.parameters.items())[positional:]:
            if parameter.required and name not in given:
                full = f"{path}.{name}" if path else name
                owner = f"{node.get('_target_')} needs it" if path else "the command needs it"
                self.note(full, f"Expected {full} to be given, but it is missing: {owner}.")


def leaves(name: str) -> bool:
    """Return whether a name, used as a path, leaves its parent folder."""
    return Path(name).is_absolute() or ".." in Path(name).parts


def _declared(parameter: Parameter) -> Signature | None:
    """Return the fields of the `schema` dataclass that annotates a parameter; ``None`` if there is none."""
    kind, module = parameter.annotation, parameter.module
    if module is None or module.name != "tunesmith.config.schema" or not isinstance(kind, ast.Name):
        return None
    return signature.read(f"{module.name}.{kind.id}") if kind.id in module.names else None


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _absent(path: str, target: str, error: AbsentError) -> str:
    owner, _, last = error.name.rpartition(".")
    near = nearest(last, [v for v in error.valid if not v.startswith("_")])
    if not near.startswith(" Did"):
        near = " Is the package installed, or its folder the present one?" if not owner else ""
    where = f"there is no '{last}' in '{owner}'" if owner else f"there is no package '{last}'"
    return f"Expected {path}._target_ to exist but got '{target}': {where}.{near}"
