"""The freeze policy: an ordered list of phases, each of which says what trains."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.errors import PolicyError, nearest
from tunesmith.parameters import HEAD, Parameter, Phase

WORDS: Mapping[str, Callable[[Parameter], bool]] = {
    "all": lambda p: True,
    HEAD: lambda p: p.stage == HEAD,
    "norm": lambda p: p.norm,
    "bias": lambda p: p.bias,
}
"""Selectors of one word, and the parameters that they mean, anywhere in backbone and head."""

KEYS = ("stage", "re")
"""Selectors that take an argument: ``stage: -2:``, ``re: layer4.*conv``."""


class Phases:
    """Which parameters train, when: a pure function of the epoch.

    Each phase is a mapping with ``train``, a list of selectors that are added up, and ``epochs``, how long it lasts;
    the last phase has no ``epochs`` and lasts to the end of the run. Selectors: ``all``, ``head``, ``norm``, ``bias``,
    ``stage: <name, index or slice over the backbone's stages>``, ``re: <regular expression found in the full name>``.

    Linear probing is one phase; probing before fine-tuning (Kumar et al. 2022) is two; gradual thawing (Howard and
    Ruder 2018) is one more for each stage.

    Args:
        phases: The phases, first to last.
        stages: A number that the YAML puts into its selectors, kept as an argument so that it can be swept.

    Raises:
        PolicyError: A phase or a selector is malformed, ``stages`` is below 1, or another than the last phase is open.
    """

    def __init__(self, phases: Sequence[Mapping[str, Any]], stages: int | None = None) -> None:
        if stages is not None and stages < 1:
            # A slice of the last 0 stages, "-0:", would mean all of them.
            raise PolicyError(
                f"Expected policy.stages to be at least 1 but got {stages}; "
                "policy=linear_probe trains the head alone, policy=full trains all."
            )
        if not phases:
            raise PolicyError("Expected policy.phases to hold at least one phase but got none.")
        for number, phase in enumerate(phases):
            _check_keys(number, phase)
        self._selectors = [[_as_pair(s) for s in phase["train"]] for phase in phases]
        self._first_epochs = _first_epochs([phase.get("epochs") for phase in phases])

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Lay out the phases for a model.

        Args:
            parameters: All parameters of backbone and head.

        Returns:
            The phases, ordered by first epoch, beginning with epoch 0.

        Raises:
            PolicyError: A selector matches nothing.
        """
        return [
            Phase(first, frozenset(name for selector in selectors for name in _select(selector, parameters)))
            for first, selectors in zip(self._first_epochs, self._selectors, strict=True)
        ]


def _check_keys(number: int, phase: Mapping[str, Any]) -> None:
    if not isinstance(phase, Mapping):
        raise PolicyError(f"Expected policy.phases[{number}] to be a mapping with 'train' but got {phase!r}.")
    for key in phase:
        if key not in ("train", "epochs"):
            raise PolicyError(
                f"Expected 'train' and 'epochs' in policy.phases[{number}] but got '{key}'."
                f"{nearest(str(key), ('train', 'epochs'))}"
            )
    train = phase.get("train")
    if not isinstance(train, Sequence) or isinstance(train, str) or not train:
        raise PolicyError(
            f"Expected policy.phases[{number}].train to be a list of selectors, such as [head], but got {train!r}."
        )


def _first_epochs(lengths: Sequence[Any]) -> list[int]:
    """Turn lengths in epochs into the first epoch of each phase."""
    if lengths[-1] is not None:
        raise PolicyError(
            f"Expected the last phase to have no 'epochs' but got {lengths[-1]}: it lasts to the end of the run, "
            "which trainer.max_epochs sets."
        )
    firsts = [0]
    for number, length in enumerate(lengths[:-1]):
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise PolicyError(
                f"Expected policy.phases[{number}].epochs to be a whole number of at least 1, "
                f"since another phase follows, but got {length!r}."
            )
        firsts.append(firsts[-1] + length)
    return firsts


def _as_pair(selector: Any) -> tuple[str, str]:
    """Bring a selector, a string or a mapping of one key, into the form (key, argument); words have no argument.

    Raises:
        PolicyError: It is no selector.
    """
    if isinstance(selector, Mapping) and len(selector) == 1:
        ((key, argument),) = selector.items()
        key, argument = str(key), str(argument)
    elif isinstance(selector, str):
        key, _, argument = (part.strip() for part in selector.partition(":"))
    else:
        raise PolicyError(f"Expected a selector, such as head or 'stage: -2:', but got {selector!r}.")
    if key in WORDS and not argument:
        return key, ""
    if key not in KEYS or not argument:
        valid = [*WORDS, *(f"{k}: …" for k in KEYS)]
        wanted = f"{key}: …" if argument or key in KEYS else key
        raise PolicyError(f"Expected a selector of the policy but got '{selector}'.{nearest(wanted, valid)}")
    if key == "re":
        _compiled(argument)
    return key, argument


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise PolicyError(f"Expected a regular expression after 're:' but got '{pattern}' ({error}).") from error


def _select(selector: tuple[str, str], parameters: Sequence[Parameter]) -> list[str]:
    """List the full names of the parameters that a selector means, at least one."""
    key, argument = selector
    if key == "stage":
        depths = _depths(argument, parameters)
        names = [p.name for p in parameters if p.stage != HEAD and p.depth in depths]
    elif key == "re":
        pattern = _compiled(argument)
        names = [p.name for p in parameters if pattern.search(p.name)]
    else:
        names = [p.name for p in parameters if WORDS[key](p)]
    if not names:
        shown = f"{key}: {argument}" if argument else key
        hint = nearest(argument, (p.name for p in parameters)) if key == "re" else ""
        near = (
            hint if hint.startswith(" Did") else f" Stages here: {', '.join(_stage_names(parameters).values())}, head."
        )
        raise PolicyError(f"Expected the selector '{shown}' to match a parameter but got none.{near}")
    return names


def _depths(argument: str, parameters: Sequence[Parameter]) -> Sequence[int]:
    """Resolve a stage's name, an index or a slice to depths; unlike Python's, a slice must lie within the stages."""
    names = _stage_names(parameters)
    by_name = [depth for depth, name in names.items() if name == argument]
    if by_name:
        return by_name
    count = max((p.depth if p.stage == HEAD else p.depth + 1 for p in parameters), default=0)
    bounds = re.fullmatch(r"(-?\d+)?:(-?\d+)?", argument)
    numbers = [int(b) for b in (bounds.groups() if bounds else [argument]) if b and re.fullmatch(r"-?\d+", b)]
    if not bounds and not numbers:
        raise PolicyError(
            f"Expected 'stage:' to name a stage, an index or a slice but got '{argument}'."
            f"{nearest(argument, names.values())}"
        )
    highest = count if bounds else count - 1
    if any(not -count <= number <= highest for number in numbers):
        raise PolicyError(
            f"Expected 'stage: {argument}' to lie within the {count} stages of the backbone, "
            f"which are {', '.join(names.values())}."
        )
    if not bounds:
        return [range(count)[numbers[0]]]
    begin, end = (int(b) if b else None for b in bounds.groups())
    return range(count)[slice(begin, end)]


def _stage_names(parameters: Sequence[Parameter]) -> dict[int, str]:
    """Names of the backbone's stages by depth, shallow to deep."""
    return dict(sorted({p.depth: p.stage for p in parameters if p.stage != HEAD}.items()))
