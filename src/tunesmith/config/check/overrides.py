"""Read the overrides of a command line: report all mistakes at once, and accept arguments that a YAML does not list.

Hydra stops at the first mistake, and requires a ``+`` in front of a key that the YAML does not list. Here the target's
signature decides: ``trainer.limit_train_batches=2`` becomes ``++trainer.limit_train_batches=2``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from tunesmith.compat.required import assign
from tunesmith.config import find, gate
from tunesmith.config.check import keys
from tunesmith.config.check.check import Mistake, mistakes
from tunesmith.config.gate import Trust
from tunesmith.config.hydra import app
from tunesmith.config.hydra.upstream import Hydra
from tunesmith.errors import ConfigError, nearest

COMBINATIONS = 32
"""Combinations of swept group options composed and checked before the first job (about 0.1 s each)."""

SWEPT_VALUES = 1000
"""Values per sweep checked before the first job; each job's configuration is checked again anyway."""


@dataclass
class Prepared:
    """The result of reading overrides.

    Attributes:
        overrides: What Hydra gets.
        mistakes: What is wrong with them.
        sweep: Whether they ask for a sweep, by ``-m`` or by ``hydra.mode``.
        configs: The composed configurations, one a combination of swept groups, settled.
        choices: The option that each group has, Hydra's own groups left out; groups chosen by a list are missing.
        ignore: Groups whose option is wrong: what else seems wrong below them tells nothing.
        trust: What the command may import.
    """

    overrides: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    sweep: bool = False
    configs: list[DictConfig] = field(default_factory=list)
    choices: dict[str, object] = field(default_factory=dict)
    ignore: list[str] = field(default_factory=list)
    trust: Trust | None = None

    def note(self, path: str, text: str) -> None:
        """Add a mistake, unless the same key already has one, or it follows from an invalid option."""
        hidden = any(path == g or path.startswith(f"{g}.") for g in self.ignore)
        if not hidden and all(m.text != text and (not path or m.path != path) for m in self.mistakes):
            self.mistakes.append(Mistake(path, text))


def prepare(
    hydra: Hydra,
    command: str,
    texts: Sequence[str],
    dirs: Sequence[Path],
    sweep: bool | None = None,
    trust: Trust | None = None,
) -> Prepared:
    """Read overrides, and compose with the valid ones.

    Args:
        hydra: Hydra's application.
        command: The command.
        texts: Overrides as typed.
        dirs: Folders of configurations.
        sweep: Whether ``-m`` was given.
        trust: What the command may import.

    Returns:
        The overrides for Hydra, and the mistakes. Overrides that begin with ``hydra.`` pass unchecked.
    """
    ready = Prepared(sweep=bool(sweep), trust=trust)
    names = find.group_names(dirs)
    parsed = list(_parsed(texts, ready))
    own = [o for o in parsed if o.is_hydra_override()]
    groups = [o for o in parsed if not o.is_hydra_override() and _is_group(hydra, o, names)]
    rest = [o for o in parsed if o not in own and o not in groups]
    groups = [o for o in groups if _has_option(hydra, o, ready)]
    bases = _compose(hydra, command, own, groups, ready)
    if bases:
        ready.choices = keys.choices(bases[0])
        ready.sweep = ready.sweep or str(bases[0].hydra.mode).endswith("MULTIRUN")
    if not ready.sweep:
        for override in filter(Override.is_sweep_override, parsed):
            ready.note("", _needs_m(override))
    lines = {id(o): o.input_line or "" for o in parsed}
    for base in bases:
        lines |= _apply_all(base, rest, command, names, ready)
        with app.translated():
            ready.configs.append(app.settled(base))
    ready.overrides = list(lines.values())
    return ready


def examine(ready: Prepared, command: str, dirs: Sequence[Path]) -> None:
    """Check the composed configurations too, and add their mistakes."""
    names = find.group_names(dirs)
    for cfg in ready.configs:
        for mistake in mistakes(cfg, command, names, (ready.trust or gate.trust()).composing(cfg, command)):
            ready.note(*mistake)


def values(override: Override) -> list[object]:
    """Return the values of an override: its single value, or the listed values of a sweep."""
    if not override.is_sweep_override():
        return [override.value()]
    if isinstance(interval := override.value(), IntervalSweep):
        return [interval.start]
    parser = OverridesParser.create()
    swept = itertools.islice(override.sweep_string_iterator(), SWEPT_VALUES)
    return [parser.parse_overrides([f"key={text}"])[0].value() for text in swept]


def _parsed(texts: Iterable[str], ready: Prepared) -> Iterator[Override]:
    parser = OverridesParser.create()
    for text in texts:
        try:
            override = parser.parse_overrides([text])[0]
            if override.is_range_sweep():
                values(override)  # only this reveals a range that cannot be listed
            yield override
        except HydraException as error:
            reason = re.sub(r"^(Error parsing override '.*'\n|LexerNoViableAltException: )", "", str(error))
            reason = app.sentence(HydraException(reason)).removesuffix(".")
            detail = "" if text in reason else f": {reason}"
            hint = " Quote what holds spaces, brackets or quotes." if detail or not text.isidentifier() else ""
            ready.note("", f"Expected an override such as key=value but got '{text}'{detail}.{hint}")


def _is_group(hydra: Hydra, override: Override, names: Iterable[str]) -> bool:
    name = override.key_or_group
    return name in names or ("." not in name and bool(hydra.config_loader.get_group_options(name)))


def _has_option(hydra: Hydra, override: Override, ready: Prepared) -> bool:
    """Check the option that an override chooses for a group."""
    group = override.key_or_group
    assign("hydra-core", override, "config_loader", hydra.config_loader)
    if override.is_delete():
        return True
    options = hydra.config_loader.get_group_options(group, ObjectType.CONFIG)
    chosen = [o for v in values(override) for o in (v if isinstance(v, list) else [v])]
    # Hydra parses `nan` or `1` as a number, and rejects numbers as options even if a file has that name.
    wrong = [o for o in chosen if not (isinstance(o, str) and _exists(hydra, group, o))]
    for option in wrong:
        shown = "null" if option is None else str(option)
        ready.note("", f"Expected one of the options of '{group}' but got '{shown}'.{nearest(shown, options)}")
    if not chosen:
        ready.note("", f"Expected '{override.input_line}' to match an option.{nearest('', options)}")
    if wrong or not chosen:
        ready.ignore.append(group.replace("/", "."))
    return not wrong and bool(chosen)


def _exists(hydra: Hydra, group: str, option: str) -> bool:
    folder, _, name = option.rpartition("/")
    return name in hydra.config_loader.get_group_options(f"{group}/{folder}".rstrip("/"), ObjectType.CONFIG)


def _needs_m(override: Override) -> str:
    key, value = override.get_key_element(), override.get_value_string()
    text = f"Expected one value for '{key}' but got a sweep, '{value}': add -m to run a job for each value"
    return f"{text}, or write '{key}=[{value}]' for a list." if "(" not in value else f"{text}."


def _compose(
    hydra: Hydra, command: str, own: list[Override], groups: list[Override], ready: Prepared
) -> list[DictConfig]:
    """Compose each combination of the chosen groups; drop groups that the command does not have."""
    fixed = [o.input_line or "" for o in own]
    lost: list[Override] = []
    while True:
        chosen = [[_line(o, v) for v in _choices(o)] for o in groups if o not in lost]
        try:
            combinations = itertools.islice(itertools.product(*chosen), COMBINATIONS)
            bases = [app.load(hydra, command, [*fixed, *c]) for c in combinations]
            break
        except ConfigError as error:
            match = re.search(r"Could not (?:override|delete) '([^'@]+)", str(error))
            found = [o for o in groups if o not in lost and match and o.key_or_group == match[1]]
            if not found:
                for text in error.mistakes:
                    ready.note("", text)
                return []
            lost += found
    for name in dict.fromkeys(o.key_or_group for o in lost):
        used = keys.choices(bases[0]).keys() - {"paths"}
        ready.note("", f"Expected a config group that '{command}' has here but got '{name}'.{nearest(name, used)}")
    return bases


def _choices(override: Override) -> list[str | None]:
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [None]


def _line(override: Override, choice: str | None) -> str:
    return f"{override.get_key_element()}={choice}" if choice is not None else override.input_line or ""


def _apply_all(
    base: DictConfig, rest: list[Override], command: str, groups: Iterable[str], ready: Prepared
) -> dict[int, str]:
    """Apply the first value of every key override to a composed configuration, and check the types of the others.

    Returns:
        The overrides that Hydra needs in another form, by the override's id.
    """
    lines = {}
    # A new target determines which other keys exist, so apply it first.
    for override in sorted(rest, key=lambda o: not o.key_or_group.endswith("_target_")):
        line = keys.settle(base, override, command, groups, ready.note, ready.trust)
        if line:
            lines[id(override)] = line
        first, *others = values(override) or [None]
        keys.apply(base, override, first, ready.trust)
        for value in others:
            text = keys.wrong_type(base, override.key_or_group, value, command, ready.trust)
            if text:
                ready.note(override.key_or_group, text)
    return lines
