"""Images show what the runs hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tunesmith.compare.group import group
from tunesmith.compare.plot import confusion, draw_all, draw_curves, pareto
from tunesmith.compare.runs import find, read_all


@pytest.fixture
def compared(tmp_path):
    return lambda: group(read_all(find([str(tmp_path / "logs")])), None, None)


def log(folder, values):
    lines = [json.dumps({"epoch": i, "val/accuracy": v, "step": i}) for i, v in enumerate(values)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))


def test_all_are_drawn_of_a_sweep(add, compared):
    for x in (1, 2):
        for seed in (0, 1):
            folder = add(0.5 + x / 10, seed, (f"x={x}",), predicted={"w": ("a", "a"), "y": ("b", "a")})
            log(folder, [0.1, 0.2 + seed])
    figures = draw_all(compared())
    assert list(figures) == ["learning_curves", "cost", "parallel_coordinates", "importance", "confusion_matrices"]
    assert len(figures["confusion_matrices"].axes) == 3  # two matrices and the scale


def test_what_has_no_content_is_left_out(add, compared):
    add(0.5, 0)
    assert list(draw_all(compared())) == ["cost"]


def test_curves_are_the_mean_and_the_ends_of_the_replicates(add, compared):
    log(add(0.5, 0), [0.1, 0.2, 0.6])
    log(add(0.5, 1), [0.3, 0.4])
    (axes,) = draw_curves(compared()).axes
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert axes.lines[0].get_ydata() == pytest.approx([0.2, 0.3, 0.6])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.1, 0.6)


def test_pareto_front():
    costs, gains = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([0.9, 0.5, 0.7, 0.8, 0.9])
    assert pareto(costs, gains) == [1, 3, 0]
    brute = [
        i
        for i in range(5)
        if not any(
            costs[j] <= costs[i] and gains[j] >= gains[i] and (costs[j], gains[j]) != (costs[i], gains[i])
            for j in range(5)
        )
    ]
    assert sorted(pareto(costs, gains)) == brute


def test_confusion_matrices_add_up_the_replicates(add, compared):
    add(0.5, 0, predicted={"w": ("a", "a"), "y": ("b", "a")})
    add(0.5, 1, predicted={"w": ("a", "b"), "y": ("b", "a")})
    (each,) = compared().groups
    assert confusion(each).tolist() == [[1, 1], [2, 0]]


def test_no_matrix_without_predictions_or_classes(add, compared):
    add(0.5, 0)
    assert confusion(compared().groups[0]) is None
    add(0.5, 0, data={"target": "value"})
    assert confusion(compared().groups[0]) is None
