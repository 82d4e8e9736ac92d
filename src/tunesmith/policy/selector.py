"""Select parameters: the words in which a policy says which parameters it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError, nearest

Selector = tuple[str, str]
"""A selector's key and its argument, which is empty for words."""

WORDS: Mapping[str, Callable[[Parameter], bool]] = {
    "all": lambda p: True,
    HEAD: lambda p: p.stage == HEAD,
    "norm": lambda p: p.norm,
    "bias": lambda p: p.bias,
}
"""One-word selectors, with the parameters that they match in backbone and head."""

KEYS = ("stage", "re")
"""Selectors that take an argument: ``stage: -2:``, ``re: layer4.*conv``."""


def parse(selector: object) -> Selector:
    """Parse a selector, a string or a mapping with one key.

    Raises:
        PolicyError: It is not a selector.
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


def select(selector: Selector, parameters: Sequence[Parameter]) -> list[str]:
    """List the full names of the parameters that a selector matches.

    Raises:
        PolicyError: It matches none.
    """
    key, argument = selector
    if key == "stage":
        depths = _depths(argument, parameters)
        names = [p.name for p in parameters if p.stage != HEAD and p.depth in depths]
    elif key == "re":
        pattern = _compiled(argument)
        names = [p.name for p in parameters if pattern.search(p.name)]
    else:
        names = [p.name for p in parameters if WORDS[key](p)]
    if not names and key != HEAD:  # a head that reuses the backbone's embeddings may have no weights of its own
        shown = f"{key}: {argument}" if argument else key
        hint = nearest(argument, (p.name for p in parameters)) if key == "re" else ""
        near = (
            hint if hint.startswith(" Did") else f" Stages here: {', '.join(_stage_names(parameters).values())}, head."
        )
        raise PolicyError(f"Expected the selector '{shown}' to match a parameter but got none.{near}")
    return names


def _depths(argument: str, parameters: Sequence[Parameter]) -> Sequence[int]:
    """Resolve a stage's name, index or slice to depths; unlike in Python, a slice must lie within the stages."""
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
    """Map depth to the name of the backbone's stage, shallow to deep."""
    return dict(sorted({p.depth: p.stage for p in parameters if p.stage != HEAD}.items()))
