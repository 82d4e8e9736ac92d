from __future__ import annotations

import pytest

from tunesmith.contract.parameters import Phase
from tunesmith.contract.policy import GradientPolicy, Policy


class Nothing(Policy):
    """A user's own policy, which declares nothing."""

    def plan(self, parameters):
        return [Phase(0, frozenset())]


def test_what_a_policy_does_not_declare_it_does_not_do():
    policy = Nothing()
    assert (policy.adapts, policy.contiguous, policy.adapt(None)) == (False, False, None)
    assert not isinstance(policy, GradientPolicy)


def test_a_policy_must_plan():
    with pytest.raises(TypeError, match="abstract"):
        Policy()
