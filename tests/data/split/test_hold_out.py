import numpy as np
import pytest

from tunesmith.data.split.hold_out import hold_out
from tunesmith.data.table import Table


def table(kind, count=300):
    rng = np.random.default_rng(0)
    targets = {
        "value": rng.uniform(size=(count, 1)).astype(np.float32),
        "multilabel": (rng.random((count, 3)) < (0.5, 0.2, 0.05)).astype(np.float32),
    }[kind]
    names = np.array([f"p{i}" for i in range(count)])
    groups = rng.integers(0, 40, count)
    images = np.zeros((count, 1, 1), np.uint8)
    return Table(images, targets, ("a", "b", "c")[: targets.shape[1]], names, 1, groups, "site", kind=kind)


@pytest.mark.parametrize("by", ["random", "stratified", "group"])
@pytest.mark.parametrize("kind", ["value", "multilabel"])
def test_what_has_no_classes_is_parted_too(kind, by):
    rest, held = hold_out(table(kind), np.arange(300), "test", 75, by, 0)
    assert sorted([*rest, *held]) == list(range(300))
    assert abs(len(held) - 75) <= (6 if by == "group" else 0)


@pytest.mark.parametrize("kind", ["value", "multilabel"])
def test_stratified_parts_resemble_each_other_more_than_random_ones(kind):
    data = table(kind)

    def distance(by):
        parts = [hold_out(data, np.arange(300), "test", 75, by, seed) for seed in range(10)]
        return np.mean([np.abs(data.targets[rest].mean(0) - data.targets[held].mean(0)).mean() for rest, held in parts])

    assert distance("stratified") < distance("random") / 2


def test_a_part_of_a_few_rows_can_be_stratified_by_values():
    data = table("value")
    assert len(hold_out(data, np.arange(20), "val", 1, "stratified", 0)[1]) == 1
