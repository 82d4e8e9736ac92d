from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from tunesmith.target.tokens import TARGET


def test_nothing_is_taken_of_a_table_or_of_a_source():
    assert TARGET.given(np.arange(3), ("a", "b")).targets == [0, 0, 0]
    assert TARGET.given(np.arange(3), ("a", "b")).names == ()
    found = TARGET.learnt([None] * 4, ["label"], None, None)
    assert (found.targets, found.names, found.columns) == ([0] * 4, (), ())


def test_a_row_per_text():
    found = {"nll": torch.tensor([0.0, 1.0]), "tokens": torch.tensor([3, 4])}
    table = TARGET.tested(SimpleNamespace(), ["x", "y"], found).table().to_pydict()
    assert table == {"file": ["x", "y"], "tokens": [3, 4], "loss": [0, 1], "perplexity": [1, np.e]}


def test_the_cache_tells_it_from_other_targets():
    assert TARGET.cache_key() == {"target": "tokens"} and TARGET.written
