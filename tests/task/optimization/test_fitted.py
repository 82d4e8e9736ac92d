"""A head that is fitted: what is collected, and what the head is given."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy

from tunesmith.contract.features import Features, Stage
from tunesmith.contract.parameters import HEAD, Parameter, ParameterTable, Phase, Row
from tunesmith.contract.spec import DataSpec
from tunesmith.head.logistic import Logistic
from tunesmith.head.ridge import Ridge
from tunesmith.run.record.quiet import quiet
from tunesmith.task.classification import Classification
from tunesmith.task.optimization.fitted import by_class
from tunesmith.task.regression import Regression


class Net(nn.Module):
    """Two pixels to three features, with a buffer that drifts in training mode; two levels where asked."""

    stages = (Stage("one", ("one",)),)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"one": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))})
        self.asked: list[bool] = []

    def members(self, stage):
        return {"one": self.net["one"]}

    def forward(self, x, frozen=0, needs=None):
        self.asked.append(needs.stage_features)
        pooled = self.net["one"](x.flatten(1))
        return Features(pooled, stage_features=(pooled, 2 * pooled))


def make(kind, spec, loss, metric, **options):
    torch.manual_seed(0)
    backbone = Net()
    head = Ridge(3, len(spec.class_names), stage_dims=(3, 3), target=spec.target, alpha=1.0, **options)
    names = [f"head.{n}" for n, _ in head.named_parameters()]
    rows = tuple(Row(Parameter(n, HEAD, 1, False, False, 2, 1), 0, 0.0, 0.0) for n in names)
    return kind(
        backbone=backbone,
        head=head,
        loss=loss,
        metrics={"metric": metric},
        table=ParameterTable(rows, (Phase(0, frozenset(names)),)),
        spec=spec,
        optimizer=lambda groups: pytest.fail("an optimizer was made"),
        scheduler=lambda *_: pytest.fail("a schedule was made"),
        monitor="val/metric",
    )


def fit(task, target, **more):
    x = torch.randn(len(target), 1, 1, 2, generator=torch.Generator().manual_seed(1))
    rows = [
        {"input": x[i], "target": target[i], "index": i, **{k: v[i] for k, v in more.items()}}
        for i in range(len(target))
    ]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with quiet():
        trainer.fit(task, DataLoader(rows, batch_size=4), DataLoader(rows, batch_size=4))
    return trainer, task.eval().features(x)


CLASSES = DataSpec(("a", "b", "c"), 1, "", "sample")
TARGET = torch.arange(22) % 3


def classify(**options):
    return make(Classification, CLASSES, nn.CrossEntropyLoss(), MulticlassAccuracy(3), **options)


@pytest.mark.parametrize("features", ["pooled", "stage_features"])
def test_the_head_is_fitted_to_all_of_an_epoch_and_nothing_else_moves(features):
    task = classify(features=features)
    before = {k: v.clone() for k, v in task.backbone.state_dict().items()}
    _, found = fit(task, TARGET)
    assert all(torch.equal(v, before[k]) for k, v in task.backbone.state_dict().items())
    assert set(task.backbone.asked) == {features == "stage_features"}
    alone = Ridge(3, 3, stage_dims=(3, 3), alpha=1.0, features=features)
    alone.fit(alone.vectors(found), F.one_hot(TARGET, 3))
    assert torch.allclose(task.head(found), alone(found), atol=1e-5)


def test_validation_sees_the_fitted_head_and_training_is_told_by_it_too():
    task = classify()
    trainer, found = fit(task, TARGET)
    metrics = trainer.callback_metrics
    accuracy = MulticlassAccuracy(3)(task.head(found), TARGET)
    loss = F.cross_entropy(task.head(found), TARGET)
    assert metrics["train/metric"] == metrics["val/metric"] == pytest.approx(accuracy.item())
    assert metrics["train/loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["val/loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["head/alpha"] == 1.0


def test_mixtures_and_weights_reach_the_head():
    mixed = torch.rand(22, 3).softmax(1)
    weight = torch.rand(22)
    task = classify()
    _, found = fit(task, mixed, weight=weight)
    alone = Ridge(3, 3, alpha=1.0)
    alone.fit(found.pooled, mixed, weight)
    assert torch.allclose(task.head(found), alone(found), atol=1e-5)


def test_values_are_fitted_as_the_loss_sees_them_and_predicted_in_their_units():
    spec = DataSpec(("volt",), 1, "", "sample", target="value", target_mean=(100.0,), target_std=(7.0,))
    values = 100 + 7 * torch.randn(22, 1)
    task = make(Regression, spec, nn.MSELoss(), MeanSquaredError())
    _, found = fit(task, values)
    alone = Ridge(3, 1, target="value", alpha=1.0)
    alone.fit(found.pooled, values)
    assert torch.allclose(task.predictions(task.head(found)), alone(found), atol=1e-3)


def test_a_training_that_is_stopped_early_fits_what_there_is():
    task = classify()
    task.on_train_batch_start = lambda batch, i: setattr(task.trainer, "should_stop", i == 2)
    fit(task, TARGET)
    assert task.head.output.weight.any()


def test_weights_of_classes_are_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    label = torch.arange(90) % 7 // 3  # of classes 0, 1 and 2 there are 39, 39 and 12
    target, weight = by_class(F.one_hot(label).float(), None, torch.tensor([1.0, 2.0, 9.0]))
    head = Logistic(4, 3, alpha=2.0)
    head.fit(x, target, weight)
    standard = (x - head.mean) / head.scale
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000, class_weight={0: 1, 1: 2, 2: 9})
    probabilities = theirs.fit(standard.numpy(), label.numpy()).predict_proba(standard.numpy())
    assert torch.allclose(head.outputs(x).softmax(1), torch.from_numpy(probabilities).float(), atol=1e-4)


def test_weights_of_classes_in_a_mixture_are_those_of_the_loss():
    mixed, given, classes = torch.rand(22, 3).softmax(1), torch.rand(22), torch.tensor([1.0, 2.0, 9.0])
    target, weight = by_class(mixed, given, classes)
    outputs = torch.randn(22, 3)
    ours = weight * F.cross_entropy(outputs, target, reduction="none")
    assert torch.allclose(ours, given * F.cross_entropy(outputs, mixed, classes, reduction="none"), atol=1e-6)


def test_weights_of_classes_reach_the_head():
    spec, weight = DataSpec(("a", "b", "c"), 1, "", "sample"), torch.tensor([1.0, 2.0, 9.0])
    task = make(Classification, spec, nn.CrossEntropyLoss(weight), MulticlassAccuracy(3))
    _, found = fit(task, TARGET)
    alone = Ridge(3, 3, alpha=1.0)
    alone.fit(found.pooled, F.one_hot(TARGET, 3), weight[TARGET])
    assert torch.allclose(task.head(found), alone(found), atol=1e-5)
