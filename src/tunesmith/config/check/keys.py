"""Check the keys of command-line overrides: whether they exist, and whether their values fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from tunesmith.compat.omegaconf import child, is_leaf
from tunesmith.config.check import check, signature
from tunesmith.config.check.check import SPECIAL
from tunesmith.config.check.signature import Signature
from tunesmith.config.check.source import AbsentError, UnreadableError
from tunesmith.config.gate import Trust
from tunesmith.errors import nearest


def settle(
    cfg: DictConfig,
    override: Override,
    command: str,
    groups: Iterable[str],
    note: Callable[[str, str], None],
    trust: Trust | None = None,
) -> str | None:
    """Decide how to treat an override of a key: keep it, put ``++`` in front, or note a mistake.

    Args:
        cfg: Configuration composed without the override; overrides of ``_target_`` are applied already.
        override: The override.
        command: The command.
        groups: Names of all config groups.
        note: Called with the key and a sentence where the key does not exist.
        trust: What the command may import.

    Returns:
        The override as Hydra needs it, if that differs from what was typed.
    """
    key = override.key_or_group
    if override.package is not None:
        note(key, f"Expected a config group before '@' but got '{key}'.{nearest(key, groups)}")
        return None
    parent, last = _parent(cfg, key), key.rpartition(".")[2]
    if _holds(parent, last) or (not override.is_delete() and (override.is_add() or override.is_force_add())):
        return None
    signed = _signature(parent, command if parent is cfg else None, trust)
    known = signed is not None and (last in signed.parameters or (last in SPECIAL and parent is not cfg))
    if known and not override.is_delete():
        return f"++{override.input_line}"
    if signed is not None and signed.open and parent is not cfg and not override.is_delete():
        note(key, f"{check.unknown_key(key, _beside(cfg, key, command))} A '+' in front passes it on unchecked.")
    else:
        note(key, _unknown(cfg, key, command))
    return None


def apply(cfg: DictConfig, override: Override, value: object, trust: Trust | None = None) -> None:
    """Apply an override to a composed configuration as Hydra would; `settle` has noted what cannot be applied."""
    key = override.key_or_group
    parent, last = _parent(cfg, key), key.rpartition(".")[2]
    try:
        with flag_override(cfg, "struct", False):
            if override.is_delete():
                if isinstance(parent, DictConfig):
                    del parent[last]
            elif override.is_add() or override.is_force_add() or _known(cfg, parent, last, trust):
                OmegaConf.update(cfg, key, value, merge=True, force_add=True)
    except (OmegaConfBaseException, KeyError, TypeError):
        return


def wrong_type(cfg: DictConfig, key: str, value: object, command: str, trust: Trust | None = None) -> str | None:
    """Return the message for a value that does not fit a key; ``None`` if it fits."""
    parent = _parent(cfg, key)
    signed = _signature(parent, command if parent is cfg else None, trust)
    parameter = signed.parameters.get(key.rpartition(".")[2]) if signed else None
    return check.wrong_type(key, value, parameter) if parameter else None


def _parent(cfg: DictConfig, key: str) -> DictConfig | ListConfig | None:
    path = key.rpartition(".")[0]
    if not path:
        return cfg
    try:
        found = OmegaConf.select(cfg, path)
    except OmegaConfBaseException:
        return None
    return found if isinstance(found, DictConfig | ListConfig) else None


def _holds(parent: object, last: str) -> bool:
    if isinstance(parent, ListConfig):
        return last.isdigit() and int(last) < len(parent)
    return isinstance(parent, DictConfig) and last in list(parent)


def _known(cfg: DictConfig, parent: object, last: str, trust: Trust | None) -> bool:
    """Return whether a key can be changed without ``+``; an unknown key is one mistake, and not to be noted twice."""
    signed = _signature(parent, None, trust)
    return parent is cfg or _holds(parent, last) or (signed is not None and last in {*signed.parameters, *SPECIAL})


def _signature(parent: object, command: str | None, trust: Trust | None = None) -> Signature | None:
    if command is not None:
        return check.root_signature(command)
    target = parent.get("_target_") if isinstance(parent, DictConfig) else None
    try:
        return signature.read(target, trust) if isinstance(target, str) else None
    except AbsentError:
        return None
    except UnreadableError:
        return Signature(open=True)


def choices(cfg: DictConfig) -> dict[str, object]:
    """Return the option of each group, without Hydra's own groups; groups chosen by a list are missing."""
    return {str(k): v for k, v in cfg.hydra.runtime.choices.items() if not str(k).startswith("hydra/")}


def _unknown(cfg: DictConfig, key: str, command: str) -> str:
    """Return the message for an unknown key, with the nearest known ones: its siblings first, then any."""
    beside = _beside(cfg, key, command)
    if isinstance(_parent(cfg, key), DictConfig):
        text = check.unknown_key(key, beside)
        if " Did you mean" in text:
            return text
    everywhere = [n for k in cfg if k != "hydra" for n in (str(k), *_names(child(cfg, k), str(k)))]
    same_depth = [n for n in everywhere if n.count(".") == key.count(".")]
    same_name = [n for n in everywhere if n.rpartition(".")[2] == key.rpartition(".")[2]]
    near = nearest(key, [n for n in same_depth if n in same_name] or same_depth)
    if not near.startswith(" Did"):
        near = f" Did you mean {' or '.join(map(repr, same_name[:3]))}?" if same_name else nearest(key, beside)
    return f"Expected a key that exists but got '{key}'.{near}"


def _beside(cfg: DictConfig, key: str, command: str) -> list[str]:
    """Return the keys that would be valid in place of ``key``: those of its deepest existing ancestor."""
    path = key.rpartition(".")[0]
    while path and not isinstance(_parent(cfg, f"{path}."), DictConfig):
        path = path.rpartition(".")[0]
    if not path:
        keys = [str(k) for k in cfg if k != "hydra"]
        return list(dict.fromkeys([*keys, *check.root_signature(command).parameters, *choices(cfg)]))
    return [name for name in _names(_parent(cfg, f"{path}."), path) if name.count(".") == path.count(".") + 1]


def _names(node: object, path: str) -> Iterator[str]:
    if not isinstance(node, DictConfig) or is_leaf(node):
        return
    signed = _signature(node, None)
    by_code = check.supplied(path)
    listed = [str(k) for k in node if k not in SPECIAL]
    for name in dict.fromkeys([*listed, *(signed.parameters if signed else ())]):
        if name not in by_code:
            yield f"{path}.{name}"
    for name in listed:
        yield from _names(child(node, name), f"{path}.{name}")
