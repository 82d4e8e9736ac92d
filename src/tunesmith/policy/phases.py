"""Describe a freeze policy as an ordered list of phases, each of which selects what trains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.contract.parameters import HEAD, Parameter, Phase, Plateau
from tunesmith.contract.policy import Policy
from tunesmith.errors import PolicyError, nearest
from tunesmith.policy.selector import Selector, parse, select

KEYS = ("train", "freeze", "epochs", "patience", "min_delta", "optimizer", "scheduler")
"""Keys of a phase."""

_HAVING = {
    "stages": "last_stages",
    "probe_epochs": "lp_ft",
    "epochs": "plateau",
    "patience": "plateau",
    "min_delta": "plateau",
}
"""A policy whose phases use each argument."""


class Phases(Policy):
    """Selects which parameters train when: a pure function of the epoch, and of where phases ended on a plateau.

    Each phase is a mapping with ``train``, a list of selectors whose union trains; ``freeze``, a list of selectors
    that are then removed; and ``epochs``, its length; the last phase has no ``epochs`` and lasts to the end of the run.
    Selectors: ``all``, ``head``, ``norm``, ``bias``, ``stage: <name, index or slice over the backbone's stages>``,
    ``re: <regular expression found in the full name>``.

    A phase may have an ``optimizer`` or a ``scheduler`` of its own: they are built when it begins, and its schedule
    runs over its own steps. Such a node has a ``_target_``, or changes arguments of the run's own: ``{lr: 1e-4}``;
    ``{}`` starts the run's own afresh.

    A phase with ``patience`` lasts for ``epochs`` at most: it ends once the monitored metric has not improved by
    ``min_delta`` in ``patience`` validations in a row. The next phase starts from the weights of the best validation.

    Linear probing is one phase; linear probing, then fine-tuning (LP-FT, Kumar et al. 2022) is two; training only norms
    (Frankle et al. 2021) or only biases (BitFit, Ben Zaken et al. 2022) is a single word.

    Args:
        phases: The phases, first to last.
        stages: A number that the YAML interpolates into its selectors; an argument so that it can be swept.
        probe_epochs: A number of epochs that the YAML interpolates into its first phase, for the same reason.
        epochs: A number of epochs that the YAML interpolates into its phases, for the same reason.
        patience: A number of validations that the YAML interpolates into its phases, for the same reason.
        min_delta: An improvement that the YAML interpolates into its phases, for the same reason.

    Raises:
        PolicyError: A phase or a selector is malformed, ``stages`` is below 1, a phase before the last has no length,
            the last one has a length or a patience, or an argument is not used by any phase.
    """

    def __init__(
        self,
        phases: Sequence[Mapping[str, Any]],
        stages: int | None = None,
        probe_epochs: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if stages is not None and stages < 1:
            # A slice of the last 0 stages, "-0:", would select all of them.
            raise PolicyError(
                f"Expected policy.stages to be at least 1 but got {stages}; "
                "policy=linear_probe trains the head alone, policy=full trains all."
            )
        if not phases:
            raise PolicyError("Expected policy.phases to hold at least one phase but got none.")
        for number, phase in enumerate(phases):
            _check(number, phase)
        values = {
            "stages": stages,
            "probe_epochs": probe_epochs,
            "epochs": epochs,
            "patience": patience,
            "min_delta": min_delta or None,
        }
        _check_used(values, phases)
        self._phases = list(phases)
        self._train = [[parse(s) for s in phase["train"]] for phase in phases]
        self._freeze = [[parse(s) for s in phase.get("freeze") or ()] for phase in phases]
        self._first_epochs = _first_epochs([phase.get("epochs") for phase in phases])
        self._plateaus = [Plateau.after(phase.get("patience"), phase.get("min_delta") or 0.0) for phase in phases]
        if self._plateaus[-1]:
            raise PolicyError(
                "Expected the last phase to have no 'patience', since none follows, but got "
                f"{self._plateaus[-1].patience}; callback=[default,early_stopping] ends a run on a plateau."
            )

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Return the phases for a model.

        Args:
            parameters: All parameters of backbone and head.

        Returns:
            Phases ordered by first epoch, beginning with epoch 0.

        Raises:
            PolicyError: A selector matches nothing, or nothing is left to train.
        """
        plan = []
        for number, phase in enumerate(self._phases):
            trainable = _union(self._train[number], parameters) - _union(self._freeze[number], parameters)
            if not trainable:
                tied = (
                    ""
                    if any(p.stage == HEAD for p in parameters)
                    else "; the head's weights are those of the embeddings"
                )
                raise PolicyError(
                    f"Expected policy.phases[{number}] to leave something to train but got nothing{tied}."
                )
            own = phase.get("optimizer"), phase.get("scheduler")
            plan.append(Phase(self._first_epochs[number], trainable, *own, self._plateaus[number]))
        return plan


def _union(selectors: Sequence[Selector], parameters: Sequence[Parameter]) -> frozenset[str]:
    return frozenset(name for selector in selectors for name in select(selector, parameters))


def _check(number: int, phase: object) -> None:
    path = f"policy.phases[{number}]"
    if not isinstance(phase, Mapping):
        raise PolicyError(f"Expected {path} to be a mapping with 'train' but got {phase!r}.")
    for key in phase:
        if key not in KEYS:
            raise PolicyError(f"Expected {' or '.join(KEYS)} in {path} but got '{key}'.{nearest(str(key), KEYS)}")
    train, freeze = phase.get("train"), phase.get("freeze")
    for name, selectors in (("train", train), *([("freeze", freeze)] if freeze is not None else [])):
        if not isinstance(selectors, Sequence) or isinstance(selectors, str) or not selectors:
            raise PolicyError(
                f"Expected {path}.{name} to be a list of selectors, such as [head], but got {selectors!r}."
            )
    for name in ("optimizer", "scheduler"):
        if not isinstance(phase.get(name), Mapping | None):
            raise PolicyError(f"Expected {path}.{name} to be a mapping, such as {{lr: 1e-4}}, but got {phase[name]!r}.")


def _check_used(values: Mapping[str, object], phases: Sequence[Mapping[str, Any]]) -> None:
    """Reject an argument whose value no phase uses: it was meant for another policy, and would have no effect."""
    selectors = " ".join(str(s) for phase in phases for s in (*phase["train"], *(phase.get("freeze") or ())))
    for name, value in values.items():
        key = "epochs" if name == "probe_epochs" else name
        in_selectors = name == "stages" and re.search(rf"(?<!\d){value}(?!\d)", selectors)
        if value is not None and not in_selectors and all(phase.get(key) != value for phase in phases):
            raise PolicyError(
                f"Expected phases that use policy.{name} but got policy.{name}={value} and none that "
                f"does; leave it out, or choose a policy that does, such as policy={_HAVING[name]}."
            )


def _first_epochs(lengths: Sequence[object]) -> list[int]:
    """Convert lengths in epochs to the first epoch of each phase."""
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
