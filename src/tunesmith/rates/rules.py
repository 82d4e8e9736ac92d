"""Set learning rates and weight decays by ordered rules."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.contract.parameters import Parameter, Rate
from tunesmith.errors import PolicyError, nearest
from tunesmith.rates.base import Rates

KEYS = ("match", "multiplier", "decay")
"""Keys of a rule."""


class Rules(Rates):
    """Gives each parameter the rate of the first rule that matches it, or else the optimizer's own.

    Each rule is a mapping with ``match``, a regular expression searched in the full name; ``multiplier``, the factor
    on the learning rate; and ``decay``, the factor on the weight decay, by default 1, and 0 for norms and biases.

    Args:
        rules: The rules, first to last.
        decay_norm_and_bias: Also decay norms, biases and other parameters of at most one dimension, if no rule does.
        thaw_warmup: Epochs over which the rate of a newly unfrozen parameter rises from zero to the schedule's.

    Raises:
        PolicyError: A rule is malformed.
    """

    def __init__(
        self, rules: Sequence[Mapping[str, Any]], decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0
    ) -> None:
        super().__init__(decay_norm_and_bias, thaw_warmup)
        for number, rule in enumerate(rules):
            _check(f"rates.rules[{number}]", rule)
        self._rules = [(re.compile(rule["match"]), rule) for rule in rules]

    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Return the first matching rule's multiplier, or 1."""
        number = self._first(parameter)
        return 1.0 if number is None else float(self._rules[number][1].get("multiplier", 1.0))

    def decay_of(self, parameter: Parameter) -> float:
        """Return the first matching rule's factor, or the default one."""
        number = self._first(parameter)
        decay = None if number is None else self._rules[number][1].get("decay")
        return super().decay_of(parameter) if decay is None else float(decay)

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Return the rate of every parameter, after checking that every rule applies to some parameter.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: A rule matches nothing, or only what earlier rules match.
        """
        used = {self._first(parameter) for parameter in parameters}
        for number, (pattern, _) in enumerate(self._rules):
            names = [p.name for p in parameters]
            if number not in used and any(map(pattern.search, names)):
                raise PolicyError(
                    f"Expected rates.rules[{number}] to apply to a parameter but earlier rules match all that "
                    f"'{pattern.pattern}' matches: move it up."
                )
            if number not in used:
                hint = nearest(pattern.pattern, names)
                stages = ", ".join(dict.fromkeys(p.stage for p in parameters))
                near = hint if hint.startswith(" Did") else f" Stages here: {stages}."
                raise PolicyError(
                    f"Expected rates.rules[{number}] to match a parameter but '{pattern.pattern}' matches none.{near}"
                )
        return super().plan(parameters)

    def _first(self, parameter: Parameter) -> int | None:
        return next((i for i, (pattern, _) in enumerate(self._rules) if pattern.search(parameter.name)), None)


def _check(path: str, rule: object) -> None:
    if not isinstance(rule, Mapping) or not isinstance(rule.get("match"), str):
        raise PolicyError(f"Expected {path} to be a mapping with 'match', a regular expression, but got {rule!r}.")
    for key in rule:
        if key not in KEYS:
            raise PolicyError(f"Expected {' or '.join(KEYS)} in {path} but got '{key}'.{nearest(str(key), KEYS)}")
    try:
        re.compile(rule["match"])
    except re.error as error:
        raise PolicyError(
            f"Expected {path}.match to be a regular expression but got '{rule['match']}' ({error})."
        ) from error
    _check_number(f"{path}.multiplier", rule.get("multiplier", 1.0), positive=True)
    _check_number(f"{path}.decay", rule.get("decay", 1.0), positive=False)


def _check_number(path: str, value: object, positive: bool) -> None:
    wanted = "above 0" if positive else "of at least 0"
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise PolicyError(f"Expected {path} to be a finite number {wanted} but got {value!r}.")
