"""The parameter table of a run: policy and rates, laid over the parameters of backbone and head."""

from __future__ import annotations

from torch import nn

from tunesmith.contracts import Backbone, FittedHead
from tunesmith.parameters import HEAD, Parameter, ParameterTable, Policy, Rate, Rates, Row

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def make_table(
    backbone: Backbone, head: nn.Module, policy: Policy, rates: Rates, weight_decay: float = 0.0
) -> ParameterTable:
    """Lay policy and rates over the parameters of backbone and head: one row each.

    Args:
        backbone: With its stages.
        head: The head.
        policy: What trains when.
        rates: How fast.
        weight_decay: The optimizer's.
    """
    parameters = _parameters(backbone, head)
    phases, plan = policy.plan(parameters), rates.plan(parameters)
    if isinstance(head, FittedHead):  # no step is ever taken
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
            found.append(Parameter(prefix, stage, depth, norm=False, bias=False, ndim=unit.ndim, numel=unit.numel()))
            continue
        norms = {f"{n}." if n else "" for n, m in unit.named_modules() if _is_norm(m)}
        for name, p in unit.named_parameters():
            owner, _, leaf = name.rpartition(".")
            norm = (f"{owner}." if owner else "") in norms
            bias = leaf == "bias" or leaf.endswith("_bias")  # in_proj_bias of torch's attention
            found.append(Parameter(f"{prefix}.{name}", stage, depth, norm, bias, p.ndim, p.numel()))
    return found


def _is_norm(module: nn.Module) -> bool:
    """By class, or by its name: the libraries have normalisations of their own, such as timm's RmsNorm."""
    return isinstance(module, _NORMS) or "norm" in type(module).__name__.lower()
