from __future__ import annotations

from omegaconf import OmegaConf
from torch import nn

from tunesmith.backbone.tiny import Tiny
from tunesmith.config.build import build
from tunesmith.config.find import package_conf
from tunesmith.head.ridge import Ridge
from tunesmith.parameters import HEAD
from tunesmith.policy.phases import Phases
from tunesmith.rates.uniform import Uniform
from tunesmith.run.table import make_table


def test_every_parameter_has_one_row_and_the_head_is_last():
    backbone, head = Tiny(), nn.Linear(64, 2)
    rows = make_table(backbone, head, Phases([{"train": ["norm", "head"]}]), Uniform(), 0.1).rows
    names = [row.parameter.name for row in rows]
    assert sorted(names) == sorted(
        [f"backbone.{n}" for n, _ in backbone.named_parameters()] + ["head.weight", "head.bias"]
    )
    assert rows[-1].parameter.stage == HEAD
    assert {row.parameter.name for row in rows if row.first_epoch is None} == {
        f"backbone.net.stage{i}.0.weight" for i in (1, 2, 3)
    }


def test_a_head_that_is_fitted_takes_no_step():
    table = make_table(Tiny(), Ridge(64, 2), Phases([{"train": ["head"]}]), Uniform())
    assert {row.multiplier for row in table.rows if row.parameter.stage == HEAD} <= {0.0}


def test_what_is_added_or_scales_has_no_decay(family):
    """Position embeddings, tokens, bias tables, scales: what the library says of itself, and all that is no weight."""
    option, overrides = family
    node = OmegaConf.load(package_conf() / "backbone" / f"{option}.yaml")
    node.update({"weights": None} if "weights" in node else {})
    backbone = build(OmegaConf.merge(node, overrides))
    rows = make_table(backbone, nn.Linear(2, 2), Phases([{"train": ["all"]}]), Uniform(), 0.1).rows
    decays = {row.parameter.name.removeprefix("backbone.net.") for row in rows if row.weight_decay}
    assert {name for name in decays if not name.endswith("weight")} == set()
    own = getattr(backbone.net, "no_weight_decay", set)()  # of timm's networks
    assert not decays & {name for name, _ in backbone.net.named_parameters() if name in own}
    matrices = {f"{n}.weight" for n, m in backbone.net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert matrices - decays == {name for name in matrices if "cpb_mlp" in name}
