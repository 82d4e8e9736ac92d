import pytest

from tunesmith.parameters import Parameter, ParameterTable, Phase, Row

OWN = {"lr": 1.0}


def table(*owns):
    """A phase every two epochs, with these optimizers of their own."""
    row = Row(Parameter("a", "s", 0, False, False, 2, 4), 0, 1.0, 0.1, 1.0)
    return ParameterTable((row,), tuple(Phase(2 * i, frozenset("a"), own) for i, own in enumerate(owns)))


@pytest.mark.parametrize(
    ("owns", "indices", "spans"),
    [
        ((None, None, None), [0, 0, 0], {0: (0, None)}),
        ((OWN, None, None), [0, 1, 1], {0: (0, 2), 1: (2, None)}),
        ((None, None, OWN), [0, 0, 2], {0: (0, 4), 2: (4, None)}),
        ((None, OWN, None), [0, 1, 2], {0: (0, 2), 1: (2, 4), 2: (4, None)}),
        ((OWN, OWN, OWN), [0, 1, 2], {0: (0, 2), 1: (2, 4), 2: (4, None)}),
    ],
)
def test_whose_optimizer_is_at_work_and_for_how_long(owns, indices, spans):
    made = table(*owns)
    assert [made.optimizer_phase(epoch) for epoch in range(6)] == [i for i in indices for _ in range(2)]
    assert {i: made.span(i) for i in set(indices)} == spans
