from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import multiclass_confusion_matrix

from tunesmith.contract.batch import IGNORED, TARGET
from tunesmith.run.assembly.assemble import assemble
from tunesmith.task.segmentation import confusion


@pytest.fixture(scope="module")
def task(quick_below, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    cfg = quick_below(folder, "data=synthetic_masks", "data.samples=20", "task=segmentation")
    return assemble(cfg, folder, {}).task


def batch_of(target):
    return {"target": target, "index": torch.arange(len(target))}


def outputs_that_say(said):
    return F.one_hot(said, 3).movedim(-1, 1).float() * 10


TRUTH = torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 1]]])
SAID = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [1, 0]]])
"""Classes 0 and 1 of two images, and a class 2 that occurs nowhere: by hand 3 / 6 and 2 / 5."""


def test_mean_iou_is_of_all_pixels_together_and_leaves_out_an_absent_class(task):
    metrics = task.test_metrics.clone()
    for i in range(2):
        kept = task.score(metrics, outputs_that_say(SAID[i : i + 1]), batch_of(TRUTH[i : i + 1]))
        assert kept["confusion"].shape == (1, 3, 3)
    found = metrics.compute()
    assert found["test/mean_iou"] == pytest.approx((3 / 6 + 2 / 5) / 2)
    assert found["test/pixel_accuracy"] == pytest.approx(5 / 8)


def test_mean_iou_is_that_of_torchmetrics_confusion_matrix(task):
    torch.manual_seed(0)
    truth, outputs = torch.randint(3, (4, 8, 8)), torch.randn(4, 3, 8, 8)
    metrics = task.test_metrics.clone()
    kept = task.score(metrics, outputs, batch_of(truth))["confusion"]
    whole = multiclass_confusion_matrix(outputs.argmax(1), truth, 3)
    assert torch.equal(kept.sum(dim=0), whole)
    union = whole.sum(0) + whole.sum(1) - whole.diagonal()
    assert metrics.compute()["test/mean_iou"] == pytest.approx(float((whole.diagonal() / union).mean()))


def test_pixels_that_are_ignored_count_nowhere(task):
    torch.manual_seed(0)
    truth, outputs = torch.randint(3, (4, 8, 8)), torch.randn(4, 3, 8, 8)
    truth[0, :3], truth[2] = IGNORED, IGNORED
    batch = batch_of(truth)
    counted = int((truth != IGNORED).sum())
    term = task.terms(outputs, batch)[TARGET]
    assert (term.count, task.counts(batch)[TARGET]) == (counted, counted)
    expected = F.cross_entropy(outputs, truth, ignore_index=IGNORED, reduction="sum")
    assert float(term.sum) == pytest.approx(float(expected), rel=1e-5)
    metrics = task.test_metrics.clone()
    kept = task.score(metrics, outputs, batch)["confusion"]
    assert kept.sum(dim=(1, 2)).tolist() == [40, 64, 0, 64]
    right = ((outputs.argmax(1) == truth) & (truth != IGNORED)).sum() / counted
    assert metrics.compute()["test/pixel_accuracy"] == pytest.approx(float(right))


def test_a_batch_of_which_nothing_counts_has_a_loss_of_nothing(task):
    batch, outputs = batch_of(torch.full((2, 4, 4), IGNORED)), torch.randn(2, 3, 4, 4, requires_grad=True)
    term = task.terms(outputs, batch)[TARGET]
    assert (float(term.mean.detach()), term.count) == (0, 0) and term.mean.requires_grad
    assert not task.score(task.test_metrics.clone(), outputs.detach(), batch)["confusion"].any()


def test_the_weight_of_an_image_is_that_of_its_pixels(task):
    torch.manual_seed(0)
    truth, outputs = torch.randint(3, (2, 4, 4)), torch.randn(2, 3, 4, 4)
    found = task.terms(outputs, {**batch_of(truth), "weight": torch.tensor([1.0, 3.0])})[TARGET]
    each = F.cross_entropy(outputs, truth, reduction="none").sum(dim=(1, 2))
    assert float(found.mean) == pytest.approx(float(each[0] + 3 * each[1]) / (16 * 4), rel=1e-5)


def test_the_baseline_says_one_class_of_every_pixel(task):
    matrices = confusion(SAID.flatten(), TRUTH.flatten(), torch.tensor([4, 4]), 3)
    metrics = MetricCollection(dict(task.test_metrics.items(keep_base=True)), compute_groups=False).clone()
    assert task.baseline(metrics, {"confusion": matrices}) == "background"
    assert metrics.compute()["mean_iou"] == pytest.approx((5 / 8 + 0) / 2)


def test_a_prediction_counts_the_pixels_of_each_class(task, monkeypatch):
    monkeypatch.setattr(type(task), "forward", lambda self, x: x)
    found = task.predict_step({"input": outputs_that_say(SAID), "index": torch.arange(2)}, 0)
    assert found["predictions"].tolist() == [[1, 3, 0], [3, 1, 0]]
