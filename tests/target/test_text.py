from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.text import TARGET


def test_what_is_written_as_it_should_be_is_right_whatever_its_loss():
    found = {"written": ["a", "b"], "truth": ["a", "c"], "nll": torch.tensor([0.5, 2.0])}
    said = TARGET.tested(SimpleNamespace(), ["x", "y"], found)
    assert said.table().column_names == ["file", "target", "written", "loss"]
    assert said.wrongness().tolist() == [0, 2]
    assert said.caption(1) == "y: b, true: c"
    assert not len(said.by_class()) and said.drawings() == {} and said.charts(None, None) == {}


def test_what_is_written_of_new_texts():
    said = TARGET.predicted(
        SimpleNamespace(), None, Asked([], list("abcdefg"), "text"), {"predictions": list("ABCDEFG")}
    )
    assert said.table().to_pydict() == {"text": list("abcdefg"), "written": list("ABCDEFG")}
    assert said.summary() == list("ABCDE")


def test_the_cache_tells_it_from_other_targets():
    assert TARGET.cache_key() == {"target": "text"} and isinstance(TARGET, Target)
    assert TARGET.strata(["a", "b"], (), 5).tolist() == np.zeros(2).tolist()
