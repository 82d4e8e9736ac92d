from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from tunesmith.contract.features import Features, Needs, Stage
from tunesmith.contract.parameters import HEAD, Parameter, ParameterTable, Phase, Rate, Row
from tunesmith.contract.spec import DataSpec
from tunesmith.contract.tree import select
from tunesmith.errors import ConfigError
from tunesmith.run.record.quiet import quiet
from tunesmith.task.calibration import Calibration
from tunesmith.task.classification import Classification
from tunesmith.task.loss.term import Term


class Net(nn.Module):
    """Two stages with all that can go wrong when frozen: BatchNorm, dropout and plain weights."""

    stages = (Stage("one", ("one",)), Stage("two", ("two",)))

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict(
            {
                "one": nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)),
                "two": nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)),
            }
        )
        self.asked: list[int] = []

    def members(self, stage):
        return {name: self.net.get_submodule(name) for name in stage.members}

    def forward(self, x, frozen=0, needs=None):
        self.asked.append(frozen)
        return Features(self.net["two"](self.net["one"](x)).mean((2, 3)))


class Top(nn.Module):
    needs = Needs(pooled=True)

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, features):
        return self.linear(features.pooled)


def table(backbone: nn.Module, head: nn.Module, *phases: tuple) -> ParameterTable:
    """Phases as (first epoch, prefix of what trains[, optimizer of its own]); the head always trains."""
    named = [(f"backbone.{n}", p) for n, p in backbone.named_parameters()]
    named += [(f"head.{n}", p) for n, p in head.named_parameters()]
    rows, places = [], {"one": 0, "two": 1, HEAD: 2}
    for name, p in named:
        stage = HEAD if name.startswith("head") else name.split(".")[2]
        row = Parameter(name, stage, places[stage], False, name.endswith("bias"), p.ndim, p.numel())
        rows.append(Row(row, 0, Rate(0.5 ** (2 - places[stage]), float(p.ndim > 1)), 0.1))
    names = [n for n, _ in named]
    plan = [Phase(e, frozenset(n for n in names if n.startswith(("head", prefix))), *own) for e, prefix, *own in phases]
    return ParameterTable(tuple(rows), tuple(plan))


def make_optimizer(groups, own):
    own = dict(own or {})
    return own.pop("kind", torch.optim.SGD)(groups, **{"lr": 1.0, "weight_decay": 0.1, **own})


def make(*phases: tuple, kind=Classification, head=Top, **options) -> Classification:
    torch.manual_seed(0)
    backbone, head = Net(), head()
    metrics = {"accuracy": MulticlassAccuracy(2), "auroc": MulticlassAUROC(2)}
    return kind(
        backbone=backbone,
        head=head,
        loss=options.pop("loss", nn.CrossEntropyLoss()),
        metrics=metrics,
        table=table(backbone, head, *phases),
        spec=DataSpec(("a", "b"), 1, "", "sample"),
        optimizer=make_optimizer,
        scheduler=lambda optimizer, total, per_epoch, own: (
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1),
            "step",
        ),
        monitor="val/accuracy",
        mode="max",
        **options,
    )


def loader(n: int = 16) -> DataLoader:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(n, 1, 8, 8, generator=g)
    return DataLoader([{"input": x[i], "target": i % 2, "index": i} for i in range(n)], batch_size=4)


def fit(task, epochs: int = 1, **options) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    with quiet():
        trainer.fit(task, loader(), loader())
    return trainer


FROZEN_ONE = (0, "backbone.net.two")


def test_frozen_weights_and_buffers_keep_their_bits_and_the_rest_moves():
    task = make(FROZEN_ONE)
    before = {k: v.clone() for k, v in task.state_dict().items()}
    fit(task, epochs=2)
    for name, value in task.state_dict().items():
        if name.startswith("backbone.net.one"):
            assert torch.equal(value, before[name]), name
        elif not name.startswith("backbone.net.two.0.bias"):  # a bias before BatchNorm has no effect
            assert not torch.equal(value, before[name]), name


def test_without_eval_mode_the_statistics_drift(monkeypatch):
    """Negative control: the test above can fail."""
    monkeypatch.setattr("tunesmith.task.base.freeze_modes", lambda unit: None)
    task = make(FROZEN_ONE)
    before = task.backbone.net["one"][1].running_mean.clone()
    fit(task)
    assert not torch.equal(task.backbone.net["one"][1].running_mean, before)


def test_frozen_parts_stay_in_eval_through_every_call_of_train():
    task = make(FROZEN_ONE)
    task.apply_policy(0)
    for mode in (True, False, True):
        task.train(mode)
        assert not any(m.training for m in task.backbone.net["one"].modules())
        assert all(m.training is mode for m in task.backbone.net["two"].modules())


def test_features_of_a_sample_do_not_depend_on_its_batch_mates():
    task = make((0, "head")).train()
    task.apply_policy(0)
    x = torch.randn(8, 1, 8, 8)
    assert torch.allclose(task.backbone(x).pooled[:2], task.backbone(x[:2]).pooled, atol=1e-6)


def test_the_backbone_is_told_how_many_stages_are_frozen():
    task = make(FROZEN_ONE)
    fit(task)
    assert set(task.backbone.asked) == {1}


def test_a_phase_opens_its_gate_and_no_group_is_added():
    task = make((0, "head"), (2, "backbone"))
    seen = []

    def watch(epoch):
        seen.append((epoch, task.backbone.net["one"][0].weight.requires_grad, len(task.optimizers().param_groups)))

    task.on_train_epoch_end = lambda: watch(task.current_epoch)
    start = task.backbone.net["one"][0].weight.detach().clone()
    fit(task, epochs=3)
    assert [e for _, e, _ in seen] == [False, False, True]
    assert len({groups for _, _, groups in seen}) == 1
    assert not torch.equal(task.backbone.net["one"][0].weight, start)


def test_a_phase_has_its_own_optimizer_from_its_first_step_on():
    adam = {"kind": torch.optim.Adam, "lr": 0.25}
    task = make((0, "head", adam), (1, "backbone"), (2, "backbone.net.two"), (3, "head", {"lr": 0.5}))
    seen = []

    def watch(optimizer):
        groups = optimizer.param_groups
        seen.append((task.current_epoch, type(optimizer), groups[-1]["lr"], [g["name"] for g in groups], optimizer))

    task.on_before_optimizer_step = watch
    trainer = fit(task, epochs=4)
    kinds = {epoch: (kind, lr) for epoch, kind, lr, *_ in seen}
    sgd = torch.optim.SGD
    assert kinds == {0: (torch.optim.Adam, 0.25), 1: (sgd, 1.0), 2: (sgd, 1.0), 3: (sgd, 0.5)}
    assert len({tuple(names) for *_, names, _ in seen}) == 1
    assert len({id(optimizer) for *_, optimizer in seen}) == 3
    assert trainer.lr_scheduler_configs[0].scheduler.optimizer is seen[-1][-1]


def test_groups_are_named_and_hold_every_parameter_once_at_its_own_rate():
    task = make((0, "backbone"))
    trainer = fit(task)
    groups = trainer.optimizers[0].param_groups
    assert [g["name"] for g in groups] == ["one", "one/no_decay", "two", "two/no_decay", "head", "head/no_decay"]
    assert [g["lr"] for g in groups] == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0] * 3
    held = [id(p) for g in groups for p in g["params"]]
    assert sorted(held) == sorted(id(p) for p in task.parameters())


def test_training_keeps_only_the_monitored_metric():
    trainer = fit(make((0, "backbone")))
    names = set(trainer.callback_metrics)
    assert {"train/accuracy", "train/loss", "val/accuracy", "val/auroc", "val/loss"} <= names
    assert "train/auroc" not in names


@pytest.mark.parametrize("wanted", [True, False])
def test_channels_last(wanted):
    task = make((0, "backbone"), channels_last=wanted)
    assert task.backbone.net["two"][0].weight.is_contiguous(memory_format=torch.channels_last) is wanted


def test_compiled_weights_keep_their_names():
    names = set(make((0, "backbone")).state_dict())
    assert set(make((0, "backbone"), compile=True).state_dict()) == names


def test_a_batch_of_nothing_but_padding_counts_for_nothing(monkeypatch):
    task = make((0, "backbone"))
    trainer = fit(task)
    monkeypatch.setattr(type(trainer), "world_size", 2)
    monkeypatch.setattr(task, "log", lambda *args, **options: None)
    monkeypatch.setattr(task, "log_dict", lambda *args, **options: None)
    batch = {"input": torch.randn(2, 1, 8, 8), "target": torch.tensor([0, 1]), "index": torch.tensor([0, 1])}
    task.test_step(batch, 0)
    before = task.test_loss.compute(), task.test_metrics.compute()
    found = task.test_step({**batch, "index": torch.tensor([-1, -1])}, 1)
    assert len(found["predictions"]) == 0
    assert (task.test_loss.compute(), task.test_metrics.compute()) == before


def stub_logging(task, monkeypatch, world_size: int = 1):
    trainer = fit(task)
    monkeypatch.setattr(type(trainer), "world_size", world_size)
    monkeypatch.setattr(task, "log", lambda *args, **options: None)
    monkeypatch.setattr(task, "log_dict", lambda *args, **options: None)
    return task.eval()


def test_predictions_of_views_are_averaged(monkeypatch):
    task = stub_logging(make((0, "backbone")), monkeypatch)
    views = torch.randn(4, 3, 1, 8, 8)
    batch = {"input": views.flatten(0, 1), "views": 3, "target": torch.tensor([0, 1, 0, 1]), "index": torch.arange(4)}
    found = task.test_step(batch, 0)
    each = torch.stack([task(view).softmax(-1) for view in views.unbind(1)], dim=1)
    assert torch.allclose(found["predictions"], each.mean(1), atol=1e-6)
    assert found["outputs"].shape == (4, 3, 2)
    assert torch.equal(task.predict_step(batch, 0)["predictions"], found["predictions"])


def test_metrics_of_a_mixture_see_its_larger_part(monkeypatch):
    task = stub_logging(make((0, "backbone")), monkeypatch)
    mixed = torch.tensor([[0.7, 0.3], [0.4, 0.6]])
    batch = {"input": torch.randn(2, 1, 8, 8), "target": mixed, "index": torch.arange(2)}
    terms, found = task.step(batch, "train")
    assert found["target"].tolist() == [0, 1]
    assert torch.allclose(terms["target"].mean, nn.functional.cross_entropy(found["outputs"], mixed))


def test_weights_reach_the_loss_and_its_mean_over_an_epoch(monkeypatch):
    task = stub_logging(make((0, "backbone")), monkeypatch)
    batch = {"input": torch.randn(2, 1, 8, 8), "target": torch.tensor([0, 1]), "index": torch.arange(2)}
    task.test_loss.reset()
    losses = [
        task.step({**batch, "weight": torch.tensor(w)}, "test")[0]["target"].mean for w in ([1.0, 0.0], [0.0, 3.0])
    ]
    each = nn.functional.cross_entropy(task(batch["input"]), batch["target"], reduction="none")
    assert torch.allclose(torch.stack(losses), each)
    assert torch.allclose(task.test_loss.compute(), (each * torch.tensor([1.0, 3.0])).sum() / 4)


def test_in_training_weights_are_held_against_their_mean_over_train(monkeypatch):
    task = stub_logging(make((0, "backbone")), monkeypatch)
    task.eval().spec = replace(task.spec, mean_weight=2.0)
    batch = {"input": torch.randn(2, 1, 8, 8), "target": torch.tensor([0, 1]), "index": torch.arange(2)}
    weight = torch.tensor([1.0, 3.0])
    alone = [{k: v[[i]] for k, v in {**batch, "weight": weight}.items()} for i in range(2)]
    losses = [task.step(one, "train")[0]["target"].mean for one in alone]
    each = nn.functional.cross_entropy(task(batch["input"]), batch["target"], reduction="none")
    assert torch.allclose(torch.stack(losses), each * weight / 2)
    assert torch.allclose(task.train_loss.compute(), (each * weight).sum() / 4)


def test_a_threshold_moves_metrics_of_labels_alone(monkeypatch):
    task = stub_logging(make((0, "backbone")), monkeypatch)
    batch = {"input": torch.randn(8, 1, 8, 8), "target": torch.tensor([0, 1] * 4), "index": torch.arange(8)}
    found = []
    for calibration in (Calibration(), Calibration(1.0, (0.0,)), Calibration(1.0, (1.0,))):
        task.calibration = calibration
        task.test_metrics.reset()
        task.test_step(batch, 0)
        found.append(task.test_metrics.compute())
    assert len({m["test/auroc"].item() for m in found}) == 1
    for said, metrics in enumerate(reversed(found[1:])):  # all of the first class, then all of the second
        expected = MulticlassAccuracy(2)(torch.full((8,), said), batch["target"])
        assert metrics["test/accuracy"] == expected


def test_a_loss_for_another_kind_of_target_is_refused():
    with pytest.raises(ConfigError, match="use loss=cross_entropy"):
        make((0, "backbone"), loss=nn.MSELoss())


class Silent(Top):
    needs = None


class TwoTops(nn.Module):
    needs = Needs(pooled=True)

    def __init__(self) -> None:
        super().__init__()
        self.label, self.box = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, features):
        return {"label": self.label(features.pooled), "box": self.box(features.pooled)}


class Finding(Classification):
    """A class per sample, and any number of boxes: two terms that count different things."""

    def terms(self, outputs, batch, mean_weight=None):
        labels, boxes = batch["target"]["label"], batch["target"]["boxes"]
        apart = torch.cat([own - said for own, said in zip(boxes, outputs["box"], strict=True)]).abs().sum(1)
        return {
            "label": Term(nn.functional.cross_entropy(outputs["label"], labels), len(labels)),
            "box": Term.of_sum(apart.sum(), len(apart)),
        }

    def counts(self, batch):
        return {"label": len(batch["index"]), "box": sum(map(len, batch["target"]["boxes"]))}

    @property
    def term_weights(self):
        return super().term_weights | {"box": 0.3}

    def score(self, metrics, outputs, batch):
        return {"said": outputs["label"], "boxes": batch["target"]["boxes"]}


@pytest.fixture
def finding(monkeypatch):
    """The task and a batch of six samples."""
    task = make((0, "backbone"), kind=Finding, head=TwoTops).eval()
    task.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    monkeypatch.setattr(task, "log", lambda *args, **options: None)
    monkeypatch.setattr(task, "log_dict", lambda *args, **options: None)
    boxes = [torch.randn(count, 3) for count in (2, 0, 1, 0, 0, 4)]
    target = {"label": torch.tensor([0, 1, 0, 1, 1, 0]), "boxes": boxes}
    return task, {"input": torch.randn(6, 1, 8, 8), "target": target, "index": torch.arange(6)}


def gradients(task, *batches):
    task.zero_grad()
    for batch in batches:
        (task.training_step(batch, 0) / len(batches)).backward()
    return [p.grad.clone() for p in task.parameters()]


def same_gradients(one, other):
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one, other, strict=True))


def test_a_head_may_give_a_mapping_and_several_terms_make_one_gradient(finding):
    task, batch = finding
    whole = gradients(task, batch)
    parts = [select(batch, torch.tensor(rows)) for rows in ([0, 1, 2], [3, 4], [5])]
    totals = {"label": 6.0, "box": 7.0}
    task.trainer.accumulate_grad_batches = 3
    assert same_gradients(gradients(task, *({**part, "totals": totals} for part in parts)), whole)
    assert not same_gradients(gradients(task, *parts), whole)  # negative control: means of means


def test_what_fills_a_distributed_batch_is_left_out_of_lists_and_mappings_too(finding, monkeypatch):
    task, batch = finding
    monkeypatch.setattr(type(task.trainer), "world_size", 2)
    found = task.test_step({**batch, "index": torch.tensor([0, -1, 2, -1, -1, 5])}, 0)
    assert [len(own) for own in found["boxes"]] == [2, 1, 4] and found["said"].shape == (3, 2)


def test_a_head_says_what_it_needs():
    with pytest.raises(ConfigError, match=r"Silent to declare which features it needs .* needs = Needs\(pooled"):
        make((0, "backbone"), head=Silent)
