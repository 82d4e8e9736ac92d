from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support, r2_score
from torchmetrics.classification import MultilabelAveragePrecision

from tunesmith.target.base import of
from tunesmith.target.result.samples import SamplePredictions


def said(files, values, labels, names, targets=None, kind="class", **more) -> SamplePredictions:
    return SamplePredictions(files, values, labels, names, of(kind), targets, **more)


RNG = np.random.default_rng(0)
FILES = [f"{i}.png" for i in range(40)]


def drawn(kind: str, classes: int = 3) -> SamplePredictions:
    names = tuple("abcdef"[:classes])
    values = RNG.dirichlet(np.ones(classes), 40).astype(np.float32)
    if kind in ("class", "ordinal"):
        return said(FILES, values, values.argmax(1), names, RNG.integers(0, classes, 40), kind)
    if kind == "multilabel":
        return said(FILES, values, (values > 0.4).astype(int), names, RNG.integers(0, 2, values.shape), kind)
    return said(FILES, values, values, names, values + RNG.normal(0, 0.1, values.shape), kind)


@pytest.mark.parametrize(
    ("kind", "truth", "own"),
    [
        ("class", ["target"], ["label", "p_a", "p_b", "p_c"]),
        ("ordinal", ["target"], ["label", "level", "p_a", "p_b", "p_c"]),
        ("multilabel", ["target_a", "target_b", "target_c"], ["label", "p_a", "p_b", "p_c"]),
        ("value", ["target_a", "target_b", "target_c"], ["a", "b", "c"]),
    ],
)
def test_columns(kind, truth, own):
    found = drawn(kind)
    assert found.table().column_names == ["file", *truth, *own]
    unknown = said(FILES, found.values, found.labels, found.class_names, kind=kind)
    assert unknown.table().column_names == ["file", *own]


def test_a_value_called_like_another_column_stands_beside_it():
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    found = said(["x.png", "y.png"], values, values, ("file", "target_file"), values + 1, "value").table()
    names = ["file", "target_file", "target_target_file", "predicted_file", "predicted_target_file"]
    assert found.column_names == names
    assert found["file"].to_pylist() == ["x.png", "y.png"]
    assert found["predicted_file"].to_pylist() == [0, 2]


@pytest.mark.parametrize("kind", ["class", "multilabel", "value", "ordinal"])
def test_a_skipped_file_has_a_row_of_its_own(kind):
    found = drawn(kind)
    table = replace(found, targets=None, skipped={0: "a", 7: "b"}).table()
    assert table["file"].to_pylist() == ["a", *FILES[:6], "b", *FILES[6:]]
    whole = replace(found, targets=None).table()
    for name in whole.column_names[1:]:
        cells = table[name].to_pylist()
        assert [cells[0], cells[7]] == [None, None]
        assert [cell for i, cell in enumerate(cells) if i not in (0, 7)] == whole[name].to_pylist()


def test_labels_are_those_decided_on():
    found = said(["x", "y"], np.array([[0.6, 0.4], [0.9, 0.1]], np.float32), np.array([1, 0]), ("no", "yes"))
    assert found.table()["label"].to_pylist() == ["yes", "no"]
    several = said(["x", "y"], found.values, np.array([[1, 1], [0, 0]]), ("no", "yes"), kind="multilabel")
    assert several.table()["label"].to_pylist() == ["no, yes", ""]


def test_level_is_the_mean_of_the_levels():
    values = np.array([[0.5, 0.25, 0.25]], np.float32)
    found = said(["x"], values, np.array([0]), ("low", "mid", "high"), kind="ordinal")
    assert found.table()["level"].to_pylist() == [0.75]


@pytest.mark.parametrize("kind", ["class", "ordinal", "multilabel"])
def test_scores_of_each_class_are_sklearns(kind):
    found = drawn(kind)
    table = found.by_class()
    expected = precision_recall_fscore_support(found.targets, found.labels, zero_division=0)
    np.testing.assert_allclose(table[["precision", "recall", "f1", "support"]].to_numpy().T, expected)
    if kind == "multilabel":
        metric = MultilabelAveragePrecision(3)(torch.tensor(found.values), torch.tensor(found.targets))
        assert table["average_precision"].mean() == pytest.approx(metric.item())


def test_a_class_that_is_nowhere_has_zeros():
    found = said(["x"], np.array([[0.6, 0.4]], np.float32), np.array([0]), ("a", "b"), np.array([0]))
    assert found.by_class().iloc[1].tolist() == ["b", 0, 0, 0, 0]


def test_errors_of_each_value():
    found = drawn("value")
    assert found.targets is not None
    table = found.by_class()
    assert table["r2"].tolist() == pytest.approx(r2_score(found.targets, found.values, multioutput="raw_values"))
    assert table["rmse"].to_numpy() == pytest.approx(((found.values - found.targets) ** 2).mean(0) ** 0.5)


def test_the_worst_are_the_sure_the_far_and_the_many():
    p = np.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.9, 0.1, 0.0], [0.8, 0.1, 0.1]], np.float32)
    truth = np.array([1, 2, 0, 2])
    labels = np.zeros(4, int)
    for kind, order in (("class", [0, 3, 1, 2]), ("ordinal", [3, 1, 0, 2])):
        wrongness = said(list("wxyz"), p, labels, ("a", "b", "c"), truth, kind).wrongness()
        assert np.argsort(-wrongness).tolist() == order and wrongness[2] == 0
    names, given = ("a", "b", "c"), np.array([[1, 0, 0], [1, 0, 0]])
    several = said(list("wx"), p[:2], given, names, np.array([[1, 0, 0], [0, 1, 0]]), "multilabel").wrongness()
    assert several[0] == 0 and several[1] > 2
    true = np.array([[0.9, 0.1, 0.0], [0.0, 0.3, 0.5]])
    values = said(list("wx"), p[:2], p[:2], names, true, "value").wrongness()
    assert values[0] < 1e-6 < 1 < values[1]


@pytest.mark.parametrize(
    ("kind", "caption"),
    [
        ("class", "x: b (75%), true: a"),
        ("multilabel", "x: a, b, true: nothing"),
        ("value", "x: a 0.25, b 0.75, true: a 0, b 0"),
    ],
)
def test_captions(kind, caption):
    p = np.array([[0.25, 0.75]], np.float32)
    labels = {"class": np.array([1]), "multilabel": np.array([[1, 1]]), "value": p}[kind]
    truth = np.array([0]) if kind == "class" else np.zeros((1, 2), int)
    assert said(["x"], p, labels, ("a", "b"), truth, kind).caption(0) == caption


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("class", {"confusion_matrix", "roc", "precision_recall"}),
        ("ordinal", {"confusion_matrix", "roc", "precision_recall"}),
        ("multilabel", {"f1", "average_precision"}),
        ("value", {"predicted/a", "predicted/b"}),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb's own dependencies
def test_charts_of_wandb(kind, keys):
    wandb = pytest.importorskip("wandb")
    p = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    labels = {"multilabel": (p > 0.5).astype(int), "value": p}.get(kind, p.argmax(1))
    found = said(list("xyz"), p, labels, ("a", "b"), labels[::-1].copy(), kind)
    assert set(found.charts(wandb.plot, wandb.Table)) == keys


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("class", ["      2 b", "      1 a"]),
        ("ordinal", ["      2 b", "      1 a"]),
        ("multilabel", ["      2 b", "      1 a"]),
        ("value", ["a: 0.2 to 0.8, median 0.3", "b: 0.2 to 0.8, median 0.7"]),
    ],
)
def test_people_are_shown_how_often_or_between_what(kind, lines):
    p = np.array([[0.8, 0.2], [0.3, 0.7], [0.2, 0.8]], np.float32)
    labels = {"multilabel": (p > 0.5).astype(int), "value": p}.get(kind, p.argmax(1))
    assert said(list("xyz"), p, labels, ("a", "b"), kind=kind).summary() == lines
