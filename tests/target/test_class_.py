from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.class_ import TARGET

NAMES = ("a", "b", "c")
INDICES = np.array([0, 2, 2, 1])


def test_counts_strata_and_proportions_are_of_the_classes():
    assert TARGET.counts(INDICES, NAMES).tolist() == [1, 1, 2]
    assert TARGET.strata(INDICES, NAMES, 1).tolist() == INDICES.tolist()
    assert TARGET.composition(INDICES, NAMES).tolist() == np.eye(3)[INDICES].tolist()
    assert TARGET.plain(INDICES, NAMES) == ["a", "c", "c", "b"]


@pytest.mark.parametrize("indices", [[0, 3], [-1, 0]])
def test_other_indices_are_refused(indices):
    with pytest.raises(DataError, match="from 0 to 2"):
        TARGET.check(np.array(indices), NAMES)


def test_train_must_have_every_class():
    TARGET.check_train([], "images")
    with pytest.raises(DataError, match="Expected images of every class in train but got none of b"):
        TARGET.check_train(["b"], "images")


def test_the_baseline_is_the_commonest_class():
    said, name = TARGET.always(DataSpec(NAMES, 3, "", "sample", train_counts=(1, 5, 2)))
    assert (said.tolist(), name, TARGET.quoted(name)) == ([0, 1, 0], "b", "“b”")


def test_least_squares_give_plus_and_minus_one():
    assert TARGET.regressed(torch.tensor([[0.0, 1.0]])).tolist() == [[-1, 1]]


def test_folds_are_put_together():
    columns = {"target": np.array(["a", "b"]), "label": np.array(["a", "a"])}
    assert TARGET.pooled_columns(NAMES) == ["target", "label"]
    assert TARGET.pooled(columns, ("a", "b")) == {"accuracy": 0.5, "macro_f1": pytest.approx(1 / 3)}


def test_the_cache_knows_nothing_of_it():
    assert TARGET.cache_key() == {}
