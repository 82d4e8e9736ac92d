from __future__ import annotations

import pytest
from torch import nn

from tunesmith.contract.protocols import FittedHead, HeadTraits, JointHead
from tunesmith.head.joint import Joint
from tunesmith.head.linear import Linear
from tunesmith.head.multi_stage import MultiStage
from tunesmith.head.ridge import Ridge
from tunesmith.head.tokens import Tokens


class Asks(nn.Module):
    """A user's own head that names the widths of all stages."""

    def __init__(self, feature_dim, num_outputs, stage_dims):
        super().__init__()


class Declines(Asks):
    """One that wants the widths and not the features."""

    stage_features = False


@pytest.mark.parametrize(
    ("head", "traits"),
    [
        (nn.Linear(2, 2), HeadTraits()),
        (Linear(2, 2), HeadTraits()),
        (Tokens(2, 2), HeadTraits(per_token=True)),
        (MultiStage(2, 2, (2, 2)), HeadTraits(stage_features=True)),
        (Asks(2, 2, (2,)), HeadTraits(stage_features=True)),
        (Declines(2, 2, (2,)), HeadTraits()),
        (Ridge(2, 2), HeadTraits()),
        (Ridge(2, 2, (2,), features="stage_features"), HeadTraits(stage_features=True)),
    ],
)
def test_what_a_head_declares(head, traits):
    assert HeadTraits.of(head) == traits


def test_kinds_of_heads_are_told_by_their_methods():
    assert isinstance(Ridge(2, 2), FittedHead) and not isinstance(Linear(2, 2), FittedHead)
    assert isinstance(Joint(2, 2, nn.Linear(2, 3)), JointHead) and not isinstance(Linear(2, 2), JointHead)
