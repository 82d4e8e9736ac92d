from __future__ import annotations

import pytest
from torch import nn

from tunesmith.contract.features import Needs
from tunesmith.contract.protocols import FittedHead, HeadTraits, JointHead
from tunesmith.head.joint import Joint
from tunesmith.head.linear import Linear
from tunesmith.head.ridge import Ridge
from tunesmith.head.tokens import Tokens


class Own(nn.Module):
    """A user's own head."""

    needs = Needs(tokens=True)
    output_per = "token"


@pytest.mark.parametrize(
    ("head", "traits"),
    [
        (nn.Linear(2, 2), HeadTraits()),
        (Linear(2, 2), HeadTraits(Needs(pooled=True))),
        (Tokens(2, 2), HeadTraits(Needs(tokens=True), output_per="token")),
        (Own(), HeadTraits(Needs(tokens=True), output_per="token")),
    ],
)
def test_what_a_head_declares(head, traits):
    assert HeadTraits.of(head) == traits


def test_kinds_of_heads_are_told_by_their_methods():
    assert isinstance(Ridge(2, 2), FittedHead) and not isinstance(Linear(2, 2), FittedHead)
    assert isinstance(Joint(2, 2, nn.Linear(2, 3)), JointHead) and not isinstance(Linear(2, 2), JointHead)
