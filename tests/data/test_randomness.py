import random

import numpy as np
import pytest
import torch

from tunesmith.data.randomness import derive, preserved, private, seed_streams


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_every_part_of_a_seed_counts():
    seeds = {derive(*parts) for parts in [("a", 0, 1), ("a", 1, 0), ("b", 0, 1), ("a", 0, 1, 0), ("a", 1, 10)]}
    assert len(seeds) == 5
    assert all(0 <= s < 2**63 for s in seeds)
    assert derive("a", 0, 1) == derive("a", 0, 1)


def test_seeding_fixes_all_three_streams():
    seed_streams(2**63 - 1)
    first = draw()
    seed_streams(2**63 - 1)
    assert draw() == first
    seed_streams(5)
    assert not set(draw()) & set(first)


def test_preserved_puts_the_streams_back_also_after_an_error(streams):
    before = streams()
    with pytest.raises(KeyError), preserved():
        seed_streams(3)
        draw()
        assert streams() != before
        raise KeyError
    assert streams() == before


def test_a_private_generator_disturbs_nobody(streams):
    before = streams()
    a, b = torch.rand(3, generator=private("x", 1)), torch.rand(3, generator=private("x", 1))
    assert torch.equal(a, b)
    assert streams() == before
