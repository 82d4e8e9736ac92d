"""Make the parameter table of a run from policy and rates."""

from __future__ import annotations

import logging
import re

from torch import nn

from tunesmith.compat.torch import BATCH_NORM
from tunesmith.contract.parameters import HEAD, Parameter, ParameterTable, Rate, Rates, Row
from tunesmith.contract.policy import Policy
from tunesmith.contract.protocols import Backbone, FittedHead
from tunesmith.run.assembly.trainer import Trainer

_POSITION = re.compile(r"pos_?emb|position|rel_pos|cpb_mlp|attention_biases|lora_magnitude_vector")
log = logging.getLogger(__name__)
_NORMS = (BATCH_NORM, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def make_table(
    backbone: Backbone, head: nn.Module, policy: Policy, rates: Rates, weight_decay: float = 0.0
) -> ParameterTable:
    """Make the table of policy and rates, with one row per parameter of backbone and head."""
    parameters = _parameters(backbone, head)
    phases, plan = policy.plan(parameters), rates.plan(parameters)
    if isinstance(head, FittedHead):  # fitted without optimizer steps
        plan = plan | {p.name: Rate(0.0, 0.0) for p in parameters if p.stage == HEAD}
    first = {p.name: next((f.first_epoch for f in phases if p.name in f.trainable), None) for p in parameters}
    rows = [Row(p, first[p.name], plan[p.name], weight_decay * plan[p.name].decay) for p in parameters]
    return ParameterTable(tuple(rows), tuple(phases))


def _parameters(backbone: Backbone, head: nn.Module) -> list[Parameter]:
    found = []
    units = [
        (stage.name, depth, f"backbone.net.{name}", member)
        for depth, stage in enumerate(backbone.stages)
        for name, member in backbone.members(stage).items()
    ]
    for stage, depth, prefix, unit in [*units, (HEAD, len(backbone.stages), HEAD, head)]:
        if isinstance(unit, nn.Parameter):
            added = _is_embedding(prefix, unit)
            found.append(Parameter(prefix, stage, depth, False, False, unit.ndim, unit.numel(), added))
            continue
        norms = {f"{n}." if n else "" for n, m in unit.named_modules() if _is_norm(m)}
        for name, p in unit.named_parameters():
            owner, _, leaf = name.rpartition(".")
            norm = (f"{owner}." if owner else "") in norms
            bias = leaf == "bias" or leaf.endswith("_bias")  # in_proj_bias of torch's attention
            added = not norm and not bias and _is_embedding(f"{prefix}.{name}", p)
            found.append(Parameter(f"{prefix}.{name}", stage, depth, norm, bias, p.ndim, p.numel(), added))
    return found


def _is_embedding(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a parameter is added or scales, rather than multiplying a layer's inputs.

    It is if it broadcasts over samples, positions or channels and is not called a weight; tables that do not broadcast,
    and the networks that generate them, are recognised by name.
    """
    if _POSITION.search(name):
        return True
    leaf = name.rpartition(".")[2]
    spreads = parameter.ndim > 1 and (parameter.shape[0] == 1 or all(size == 1 for size in parameter.shape[1:]))
    return spreads and leaf != "weight" and not leaf.endswith("_weight")


def _is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises, by class or by name: libraries have their own, such as timm's RmsNorm."""
    return isinstance(module, _NORMS) or "norm" in type(module).__name__.lower()


def warn_of_short_run(table: ParameterTable, trainer: Trainer) -> None:
    """Warn of phases that the run is too short for; those after a plateau may start earlier and are not counted."""
    phases = table.phases
    waiting = next((i for i, phase in enumerate(phases) if phase.plateau), len(phases))
    certain = phases[: waiting + 1]
    late = [p.first_epoch for p in certain if 0 <= (trainer.max_epochs or -1) <= p.first_epoch]
    if late and not trainer.fast_dev_run:
        log.warning(
            f"Expected a run long enough for all phases of the policy but {len(late)} of {len(phases)} begin at "
            f"epoch {late[0]} or later, and trainer.max_epochs is {trainer.max_epochs}."
        )


def phases_in_record(table: ParameterTable) -> list[dict[str, int]]:
    """Return each phase's first epoch and its numbers of trainable and frozen elements, for run.json."""
    return [{"first_epoch": p.first_epoch, **table.counts(p.first_epoch)} for p in table.phases]
