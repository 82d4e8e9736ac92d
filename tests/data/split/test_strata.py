import itertools

import numpy as np
import pytest

from tunesmith.data.split.strata import composition, strata
from tunesmith.data.table import Table


def table(targets, kind):
    targets = np.asarray(targets, np.float32 if kind in ("multilabel", "value") else np.int64)
    names = np.array([f"p{i}" for i in range(len(targets))])
    width = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
    return Table(np.zeros((len(targets), 1, 1), np.uint8), targets, tuple("abcdefgh"[:width]), names, 1, kind=kind)


def of(data, smallest=100):
    return strata(data, np.arange(len(data)), smallest)


@pytest.mark.parametrize("kind", ["class", "ordinal"])
def test_a_class_is_a_stratum_however_rare(kind):
    assert of(table([0, 0, 2, 1], kind), 1).tolist() == [0, 0, 2, 1]


def test_a_few_values_are_strata_themselves():
    found = of(table([[0.0]] * 6 + [[1 / 3]] * 3 + [[1.0]] * 4, "value"))
    assert [len(set(found[a:b].tolist())) for a, b in ((0, 6), (6, 9), (9, 13))] == [1, 1, 1]
    assert len(set(found.tolist())) == 3


def test_many_values_are_cut_into_tenths():
    values = np.random.default_rng(0).normal(size=1000)
    found = of(table(values[:, None], "value"))
    assert np.bincount(found).tolist() == [100] * 10
    spans = sorted((values[found == s].min(), values[found == s].max()) for s in range(10))
    assert all(low[1] <= high[0] for low, high in itertools.pairwise(spans))


def test_a_image_counts_by_its_rarest_label():
    common, rare, both, none = [1, 0], [0, 1], [1, 1], [0, 0]
    found = of(table([common] * 6 + [rare, both, rare] + [none] * 2, "multilabel"))
    assert len({*found[6:9].tolist()}) == 1
    assert [len(set(f.tolist())) for f in (found[:6], found[6:9], found[9:])] == [1, 1, 1]
    assert len(set(found.tolist())) == 3


@pytest.mark.parametrize("smallest", [1, 2, 3, 5])
def test_there_are_no_more_strata_than_the_smallest_part_holds_and_none_of_one_row(smallest):
    found = of(table([[v] for v in [0] * 9 + [1] * 5 + [2] * 3 + [3] + [4]], "value"), smallest)
    sizes = np.bincount(found)
    assert len(sizes) <= smallest
    assert sizes.min() >= 2
    assert len(sizes) == min(smallest, 4)


def test_a_single_row_goes_with_the_commonest():
    found = of(table([[0.0]] * 5 + [[1.0]] * 3 + [[2.0]], "value"))
    assert np.bincount(found).tolist() == [6, 3]


def test_groups_keep_each_label_in_proportion():
    rows = np.arange(3)
    assert composition(table([[1, 0], [1, 1], [0, 0]], "multilabel"), rows).tolist() == [
        [1, 0, 1],
        [1, 1, 1],
        [0, 0, 1],
    ]
    assert composition(table([1, 0, 1], "class"), rows).tolist() == [[0, 1], [1, 0], [0, 1]]
    assert composition(table([[1.0]] * 3 + [[2.0]] * 3, "value"), np.arange(6)).sum(0).tolist() == [3, 3]


def test_ten_values_are_strata_and_eleven_are_cut():
    ten, eleven = (table(np.repeat(np.arange(float(n)), 2)[:, None], "value") for n in (10, 11))
    assert len(set(of(ten).tolist())) == 10
    cut = of(eleven)
    assert len(set(cut.tolist())) == 10 and np.bincount(cut).min() == 2
    assert (np.diff([cut[i] for i in (0, 2)]) != 0).all()


def test_the_first_value_counts_alone():
    values = np.column_stack([np.repeat([1.0, 2.0], 4), np.arange(8.0)])
    assert len(set(of(table(values, "value")).tolist())) == 2


def test_what_is_too_rare_goes_together_or_with_the_commonest():
    sizes = [5, 3, 1, 1]
    data = table(np.repeat(np.arange(4.0), sizes)[:, None], "value")
    assert np.bincount(of(data)).tolist() == [5, 3, 2]
    assert np.bincount(of(data, 3)).tolist() == [5, 3, 2]
    assert np.bincount(of(data, 2)).tolist() == [5, 5]
    assert np.bincount(of(data, 1)).tolist() == np.bincount(of(data, 0)).tolist() == [10]
    assert of(data).tolist() == [0] * 5 + [1] * 3 + [2, 2]


@pytest.mark.parametrize("kind", ["text", "tokens"])
def test_what_is_neither_class_nor_label_nor_value_is_one_stratum(kind):
    texts = [("a",), ("b",), ("c",)]
    data = Table(texts, ["x", "y", "z"], ("text",), np.array(["1", "2", "3"]), kind=kind, modality="text")
    assert of(data).tolist() == [0, 0, 0]


def test_a_text_counts_by_its_rarest_tag():
    texts = [("a", "b")] * 5
    tags = [(0, 0), (0, 1), (0, 0), (1, 0), (0, 0)]
    data = Table(texts, tags, ("O", "B"), np.array(list("12345")), kind="tags", modality="text")
    found = of(data)
    assert found[1] == found[3] != found[0] == found[2] == found[4]
    assert composition(data, np.arange(5)).tolist() == [[1, 0, 1], [1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 0, 1]]


def test_only_the_rows_that_are_asked_for_count():
    data = table([0, 1, 2, 1], "class")
    assert strata(data, np.array([3, 0]), 1).tolist() == [1, 0]
    assert composition(data, np.array([3])).tolist() == [[0, 1, 0]]
