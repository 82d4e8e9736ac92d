from __future__ import annotations

from torch import nn

from tunesmith.backbone.tiny import Tiny
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
