import numpy as np
import pytest

from tunesmith.data.split.hold_out import groups_of, hold_out
from tunesmith.data.table import Table
from tunesmith.errors import DataError


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


def classes(targets, groups=None, names=("a", "b", "c")):
    targets = np.asarray(targets)
    labels = np.array([f"p{i}" for i in range(len(targets))])
    return Table(np.zeros((len(targets), 1, 1), np.uint8), targets, names, labels, 1, groups, "site")


@pytest.mark.parametrize("count", [0, 20, 21])
def test_both_parts_hold_something(count):
    with pytest.raises(DataError, match=f"between 1 and 19 images for val but split.val asks for {count}"):
        hold_out(table("value"), np.arange(20), "val", count, "random", 0)
    for most in (1, 19):
        rest, held = hold_out(table("value"), np.arange(20), "val", most, "random", 0)
        assert (len(rest), len(held)) == (20 - most, most)


def test_each_part_holds_every_class():
    data = classes([0, 1, 2] * 2)
    for count in (3,):
        rest, held = hold_out(data, np.arange(6), "val", count, "stratified", 0)
        assert sorted(data.targets[rest]) == sorted(data.targets[held]) == [0, 1, 2]
    for count in (2, 4):
        with pytest.raises(DataError, match=f"each of the 3 classes but val gets {count} of 6"):
            hold_out(data, np.arange(6), "val", count, "stratified", 0)
    with pytest.raises(DataError, match="at least two images of every class to take val from but got 1 of class 'b'"):
        hold_out(classes([0, 0, 0, 1, 2, 2]), np.arange(6), "val", 3, "stratified", 0)
    with pytest.raises(DataError, match="but got 0 of class 'c'"):
        hold_out(classes([0, 0, 1, 1]), np.arange(4), "val", 2, "stratified", 0)
    assert len(hold_out(classes([0, 0, 0, 1, 2, 2]), np.arange(6), "val", 3, "random", 0)[1]) == 3


def test_only_the_rows_that_are_given_are_parted():
    data, rows = table("value"), np.arange(50, 150)
    for by in ("random", "stratified", "group"):
        rest, held = hold_out(data, rows, "val", 20, by, 0)
        assert sorted([*rest, *held]) == rows.tolist()


def test_whole_groups_come_as_near_as_they_can_to_the_size_and_to_the_classes():
    sizes = [1, 2, 3, 4, 5, 6]
    groups = np.repeat(np.arange(6) * 10, sizes)
    data = classes(np.zeros(21, np.int64), groups)
    for count in range(1, 21):
        rest, held = hold_out(data, np.arange(21), "val", count, "group", 0)
        assert abs(len(held) - count) <= 1 and len(rest) and not set(groups[rest]) & set(groups[held])
    # Eight groups of two images, each of one class: of so many, half of each class is the best.
    groups, targets = np.repeat(np.arange(8), 2), np.repeat([0, 1, 0, 1, 0, 1, 0, 1], 2)
    for seed in range(5):
        _, held = hold_out(classes(targets, groups), np.arange(16), "val", 8, "group", seed)
        assert np.bincount(targets[held]).tolist() == [4, 4]
    two = classes([0, 1, 0, 1], np.array([1, 1, 2, 2]))
    assert {tuple(hold_out(two, np.arange(4), "val", 1, "group", seed)[1]) for seed in range(9)} == {(0, 1), (2, 3)}


def test_there_are_groups_or_a_sentence():
    assert groups_of(table("value")) is not None
    with pytest.raises(DataError, match="data to have groups but they have none"):
        groups_of(classes([0, 1]))
    one = classes([0, 1, 0, 1], np.zeros(4, np.int64))
    with pytest.raises(DataError, match="at least two groups to take val from but got 1"):
        hold_out(one, np.arange(4), "val", 2, "group", 0)
