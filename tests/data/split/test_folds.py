import numpy as np
import pytest

from tunesmith.data.split.folds import few
from tunesmith.data.split.split import Split
from tunesmith.data.table import Table
from tunesmith.errors import ConfigError, DataError


def table(count=120, groups=17, kind="class", **columns):
    rng = np.random.default_rng(0)
    targets = rng.permutation(np.arange(count) % 10 // 6)
    names = np.array([f"p{i}" for i in range(count)])
    if kind == "value":
        targets = rng.normal(size=(count, 1)).astype(np.float32)
    if kind == "multilabel":
        targets = (rng.random((count, 2)) < (0.6, 0.1)).astype(np.float32)
    classes = ("v",) if kind == "value" else ("a", "b")
    groups = rng.integers(0, groups, count) * 3
    return Table(np.zeros((count, 1, 1), np.uint8), targets, classes, names, 1, groups, "site", kind=kind, **columns)


def held(data, folds, number=None, **options):
    return [Split(folds=folds, fold=f, **options)(data)["test"] for f in range(number or folds)]


@pytest.mark.parametrize("by", ["random", "stratified", "group"])
@pytest.mark.parametrize("kind", ["class", "value", "multilabel", "ordinal"])
def test_each_image_is_tested_in_exactly_one_fold(by, kind):
    folds = held(table(kind=kind), 5, by=by)
    assert sorted(np.concatenate(folds)) == list(range(120))
    if by != "group":
        assert [len(f) for f in folds] == [24] * 5


def test_a_fold_has_train_and_val_beside_its_test_part():
    parts = Split(folds=4, fold=1, val=0.1, test=0.9 - 0.1)(table())
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 78, "val": 12, "test": 30}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(120))
    assert "val" not in Split(folds=4, val=0)(table())


def test_stratified_folds_have_the_classes_in_proportion_and_random_ones_need_not():
    data = table()
    assert {float(data.targets[f].mean()) for f in held(data, 6, by="stratified")} == {0.4}
    assert len({float(data.targets[f].mean()) for f in held(data, 6, by="random")}) > 1


@pytest.mark.parametrize("val", [0, 0.15])
def test_grouped_folds_keep_groups_together(val):
    data = table()
    for fold in range(5):
        parts = Split(by="group", folds=5, fold=fold, val=val)(data)
        owners = [set(data.groups[rows].tolist()) for rows in parts.values()]
        assert sum(map(len, owners)) == len(set.union(*owners)) == 17


def test_folds_depend_on_the_splits_seed_alone():
    data = table()
    one, again, other = (held(data, 5, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("folds", ["leave_one_out", 120])
@pytest.mark.parametrize("by", ["random", "stratified"])
def test_leaving_one_out(folds, by):
    assert [f.tolist() for f in held(table(), folds, 120, by=by, val=0)] == [[i] for i in range(120)]


def test_leaving_one_group_out():
    data = table()
    folds = held(data, "leave_one_out", 17, by="group", val=0)
    assert [set(data.groups[f].tolist()) for f in folds] == [{g} for g in sorted(set(data.groups.tolist()))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds from 2 to 120, the number of images, but got 1"),
        ({"folds": 121}, "but got 121"),
        ({"folds": 18, "by": "group"}, "folds from 2 to 17, the number of groups, but got 18"),
        ({"folds": 5, "fold": 5}, "fold from 0 to 4 but got 5"),
        ({"folds": 5, "fold": -1}, "fold from 0 to 4 but got -1"),
        ({"folds": "leave_one_out", "fold": 120}, "fold from 0 to 119"),
        ({"folds": 60}, "at least 60 images of every class for 60 folds but got 48 of class 'b'"),
        ({"shots": 0}, "shots to be at least 1"),
        ({"shots": 40}, "at least 40 images of 'b' in train for data.split.shots but got 31"),
    ],
)
def test_folds_and_shots_that_there_are_none_of(options, message):
    with pytest.raises(DataError, match=message):
        Split(**options)(table())


@pytest.mark.parametrize("fold", [3, -1])
def test_a_fold_of_no_folds_is_refused_and_the_first_is_what_is_set_anyway(fold):
    with pytest.raises(ConfigError, match=f"Expected data.split.folds with data.split.fold={fold} but got none"):
        Split(fold=fold)
    assert Split(folds=5, fold=3).fold == 3
    assert "test" in Split(fold=0)(table())


def test_folds_without_groups_and_of_data_that_come_split():
    from dataclasses import replace

    with pytest.raises(DataError, match="Expected the data to have groups"):
        Split(by="group", folds=3)(replace(table(), groups=None))
    given = replace(table(), groups=None, folders=np.array(["train", "test"] * 60))
    with pytest.raises(DataError, match=r"data.split.folds=null for data that come split"):
        Split(by="auto", folds=3)(given)


def test_few_shots_are_drawn_from_train_and_leave_the_rest_alone():
    data, whole = table(), Split()(table())
    parts = Split(shots=5)(data)
    assert np.bincount(data.targets[parts["train"]]).tolist() == [5, 5]
    assert set(parts["train"].tolist()) <= set(whole["train"].tolist())
    assert all(np.array_equal(parts[name], whole[name]) for name in ("val", "test"))
    assert (np.diff(parts["train"]) > 0).all()


def test_fewer_shots_are_among_more_and_another_seed_draws_others():
    data, rows = table(), np.arange(120)
    one, five = set(few(data, rows, 1, 0).tolist()), set(few(data, rows, 5, 0).tolist())
    assert one < five
    assert five != set(few(data, rows, 5, 1).tolist())


@pytest.mark.parametrize("kind", ["value", "multilabel"])
def test_there_are_no_shots_of_what_has_no_classes(kind):
    with pytest.raises(DataError, match=f"targets are no classes but {kind}"):
        Split(shots=2)(table(kind=kind))


def test_the_fewest_and_the_most_folds_and_shots():
    data = table()
    assert [len(rows) for rows in held(data, 2, val=0)] == [60, 60]
    assert len(held(data, 48, by="stratified", val=0)) == 48  # as many as the rarest class has images
    rows = np.arange(120)
    assert np.bincount(data.targets[few(data, rows, 1, 0)]).tolist() == [1, 1]
    assert np.bincount(data.targets[few(data, rows, 48, 0)]).tolist() == [48, 48]
    with pytest.raises(DataError, match=r"at least 49 images of 'b' in train for data\.split\.shots but got 48"):
        few(data, rows, 49, 0)
    with pytest.raises(DataError, match="shots to be at least 1 but got -1"):
        few(data, rows, -1, 0)


def test_random_folds_need_no_class_in_each():
    data = table()
    folds = held(data, 60, by="random", val=0)
    assert [len(rows) for rows in folds] == [2] * 60


def test_shots_are_among_the_rows_that_are_given():
    data, rows = table(), np.arange(60, 120)
    assert set(few(data, rows, 5, 0).tolist()) <= set(rows.tolist())
    assert few(data, rows, 5, 0).tolist() == few(data, rows, 5, 0).tolist()


def test_other_classes_are_drawn_otherwise():
    """Were each class drawn by the same numbers, the same places of each would come."""
    data = table()
    ordered = np.argsort(data.targets, kind="stable")
    drawn = few(data, np.arange(120), 10, 0)
    places = [np.flatnonzero(np.isin(ordered[data.targets[ordered] == label], drawn)) for label in (0, 1)]
    assert places[0].tolist() != places[1].tolist()


def test_groups_of_unequal_sizes_have_a_fold_each():
    groups = np.array([0] * 30 + [1] * 3 + [2] * 3)
    data = Table(
        np.zeros((36, 1, 1), np.uint8), np.arange(36) % 2, ("a", "b"), np.arange(36).astype(str), 1, groups, "site"
    )
    assert sorted(len(rows) for rows in held(data, 3, by="group", val=0)) == [3, 3, 30]
