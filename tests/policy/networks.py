"""Parameters of two networks, as policies see them."""

from __future__ import annotations

from tunesmith.contract.parameters import HEAD, Parameter

STAGES = ("stem", "layer1", "layer2", "blocks.3")
_KINDS = (("conv.weight", False, False, 4), ("bn.weight", True, False, 1), ("bn.bias", True, True, 1))

PARAMETERS = [
    *(
        Parameter(f"backbone.net.{stage}.{name}", stage, depth, norm, bias, ndim, 8)
        for depth, stage in enumerate(STAGES)
        for name, norm, bias, ndim in _KINDS
    ),
    Parameter("head.output.weight", HEAD, len(STAGES), False, False, 2, 8),
    Parameter("head.output.bias", HEAD, len(STAGES), False, True, 1, 8),
]
"""A convolution and a normalisation a stage."""

DEPTHS = {"stem": 0, "layer1": 2, "layer2": 3, HEAD: 4}

PLAIN = [
    Parameter(f"{stage}.{leaf}", stage, depth, False, leaf == "bias", 1, 8)
    for stage, depth in DEPTHS.items()
    for leaf in ("weight", "bias")
]
"""The stage at depth 1 has no parameters, as a pooling layer has none."""


def names(*stages: str) -> set[str]:
    """Those of `PARAMETERS` in some stages."""
    return {p.name for p in PARAMETERS if p.stage in stages}
