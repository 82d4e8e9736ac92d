"""A new run with the weights of another one."""

from __future__ import annotations

import json

import pytest
import torch

from tunesmith.backbone.tiny import Tiny
from tunesmith.config.check.check import check
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import ConfigError, RunError, WeightsError
from tunesmith.head.linear import Linear
from tunesmith.run.assembly.init_weights import Init, find
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.train import train
from tunesmith.task.optimization.delta import Base, digests
from tunesmith.task.optimization.freeze import frozen_names

SPEC = DataSpec(("a", "b"), 3, "", "sample")


def init_of(backbone, head, spec=SPEC, strict=True):
    model = torch.nn.ModuleDict({"backbone": backbone, "head": head})
    return Init("run", "best", spec, model.state_dict(), strict)


def test_a_run_begins_with_the_weights_of_another(quick, finished, capsys):
    folder = train(quick("data=digits", f"init_from={finished.folder}", "optimizer.lr=0", "policy=linear_probe")).folder
    record = json.loads((folder / "run.json").read_text())
    assert digests(rebuild(str(folder)).task) == digests(rebuild(str(finished.folder)).task)
    init = record["init"]
    assert init["weights"] == "best" and init["left"] == [] and init["matched"] == len(Tiny().net.state_dict())
    assert init["hash"] == find(str(finished.folder / "checkpoints" / "best.ckpt"), True).hash
    said = " ".join(capsys.readouterr().out.split())
    assert "18 tensors of the backbone matched; the head was loaded too." in said
    assert not record["resumed"]


@pytest.mark.parametrize(
    ("spec", "outputs", "why"),
    [
        (SPEC, 2, "was loaded too"),
        (DataSpec(("a", "c"), 3, "", "sample"), 2, "classes differ"),
        (SPEC, 3, "tensors differ"),
    ],
)
def test_a_head_is_taken_only_where_its_outputs_mean_the_same(spec, outputs, why):
    init = init_of(Tiny(), Linear(64, 2))
    head = Linear(64, outputs)
    before = digests(head)
    init.put_head(head, spec)
    assert why in init.record()["head"]
    assert (digests(head) == before) == ("from scratch" in init.head)


def test_another_backbone_is_refused_by_name_unless_what_fits_is_asked_for():
    other = Tiny(width=16).net
    del other.stage3
    larger = init_of(Tiny(), Linear(64, 2))
    with pytest.raises(WeightsError, match=r"6 unknown \(stage3.0.weight.*init_strict=false"):
        larger.put_backbone(other)
    loose = init_of(Tiny(), Linear(64, 2), strict=False)
    loose.put_backbone(other)
    assert torch.equal(other.stage1[0].weight, loose.state["backbone.net.stage1.0.weight"])
    assert loose.matched == 12 and len(loose.left) == 6 and "6 did not" in next(loose.sentences())
    with pytest.raises(WeightsError, match="another run"):
        loose.put_backbone(torch.nn.Linear(2, 2))


def test_checkpoints_hold_what_came_from_the_other_run_even_where_it_is_frozen(tmp_path):
    """A run must not need the run that it began with."""
    torch.save(Tiny().net.state_dict(), tmp_path / "source.pth")
    backbone = Tiny(str(tmp_path / "source.pth"))
    base = Base.of(backbone)
    trained = Tiny(str(tmp_path / "source.pth"))
    trained.net.stage2[0].weight.data += 1
    init_of(trained, Linear(64, 2)).put_backbone(backbone.net)
    task = torch.nn.ModuleDict({"backbone": backbone, "head": Linear(64, 2)})
    checkpoint = {"state_dict": task.state_dict()}
    base.leave_out(checkpoint, frozen_names(task, [frozenset(n for n, _ in task.named_parameters() if "head" in n)]))
    assert [n for n in checkpoint["state_dict"] if n.startswith("backbone")] == ["backbone.net.stage2.0.weight"]


def test_what_is_no_run_is_named(tmp_path, quick):
    with pytest.raises(RunError, match="nowhere"):
        find(str(tmp_path / "nowhere"), True)
    with pytest.raises(RunError, match="Expected init_from to be a run folder, or a checkpoint in the checkpoints"):
        find(str(tmp_path / "best.ckpt"), True)
    with pytest.raises(ConfigError, match="local folder"):
        check(quick("init_from=https://x/y"))
    assert find(None, True) is None
