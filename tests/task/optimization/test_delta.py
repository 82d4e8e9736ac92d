from __future__ import annotations

import hashlib
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tunesmith.backbone.tiny import Tiny
from tunesmith.errors import RunError
from tunesmith.task.optimization.delta import Base, complete, digest, digests, left_out, whole
from tunesmith.task.optimization.freeze import frozen_names


class Model(nn.Module):
    def __init__(self, weights: str | None) -> None:
        super().__init__()
        self.backbone = Tiny(weights, width=2)
        self.head = nn.Linear(8, 2)


@pytest.fixture
def source(tmp_path):
    torch.save(Tiny(width=2).net.state_dict(), tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


@pytest.fixture
def model(source):
    return Model(source)


def saved(model, base, *trains):
    """A checkpoint of a model in which what begins so trains."""
    names = frozenset(n for n, _ in model.named_parameters() if n.startswith(trains))
    checkpoint = {"state_dict": {n: t.clone() for n, t in model.state_dict().items()}}
    base.leave_out(checkpoint, frozen_names(model, [names]))
    return checkpoint


def test_a_probe_keeps_its_head_alone_and_comes_back_whole(model, source):
    with torch.no_grad():
        base = Base.of(model.backbone)
        model.head.weight.add_(1)
    checkpoint = saved(model, base, "head")
    assert sorted(checkpoint["state_dict"]) == ["head.bias", "head.weight"]
    assert left_out(checkpoint, "it").source == source
    other = Model(source)
    complete(checkpoint, other, "it")
    other.load_state_dict(checkpoint["state_dict"])
    assert digests(other) == digests(model)


def test_what_trains_and_its_statistics_are_kept_even_while_they_have_not_moved(model):
    kept = saved(model, Base.of(model.backbone), "head", "backbone.net.stage3")["state_dict"]
    assert {n.split(".")[2] for n in kept if n.startswith("backbone")} == {"stage3"}
    assert "backbone.net.stage3.1.running_mean" in kept


def test_what_moved_is_kept_even_if_nothing_was_to_move_it(model):
    base = Base.of(model.backbone)
    model.backbone.net.stage1[1].running_mean.add_(1)
    assert "backbone.net.stage1.1.running_mean" in saved(model, base, "head")["state_dict"]


@pytest.mark.parametrize("which", ["state_dict", "current_model_state"])
def test_both_of_averaged_and_present_weights_must_have_the_bits_of_the_source(model, which):
    base, name = Base.of(model.backbone), "backbone.net.stage1.0.weight"
    checkpoint = {key: dict(model.state_dict()) for key in ("state_dict", "current_model_state")}
    checkpoint[which][name] = checkpoint[which][name] + 1
    base.leave_out(checkpoint, frozen_names(model, [frozenset()]))
    assert all(name in checkpoint[key] for key in ("state_dict", "current_model_state"))
    whole = {key: dict(state) for key, state in checkpoint.items() if key != "base"} | {"base": checkpoint["base"]}
    complete(whole, model, "it")
    assert all(len(whole[key]) == len(model.state_dict()) for key in ("state_dict", "current_model_state"))


def test_a_file_is_named_by_its_absolute_path(source, monkeypatch):
    """A checkpoint is read in another folder than it was written in."""
    folder, _, name = source.rpartition("/")
    monkeypatch.chdir(folder)
    base = Base.of(Tiny(name, width=2))
    assert base.source == source and base.digests == Base.of(Tiny(source, width=2)).digests
    monkeypatch.setenv("HOME", folder)
    assert Base.of(Tiny(f"~/{name}", width=2)).source == source


def test_random_weights_are_kept_whole():
    model = Model(None)
    assert len(saved(model, Base.of(model.backbone), "head")["state_dict"]) == len(model.state_dict())


def test_a_backbone_that_is_random_in_part_is_kept_whole(source):
    state = torch.load(source)
    del state["stage2.0.weight"]
    torch.save(state, source)
    assert not Base.of(Tiny(source, width=2, strict=False)).digests


def test_another_source_is_refused_by_name(model, source):
    checkpoint = saved(model, Base.of(model.backbone), "head")
    other = Model(source)
    other.backbone.net.stage2[0].weight.data[0, 0, 0, 0] += 1e-3
    with pytest.raises(RunError, match=r"holds only what it changed, but 1 of .* first backbone.net.stage2.0.weight"):
        complete(checkpoint, other, "it")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda state: state.pop("head.bias"), r"1 missing \(head.bias\)"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 unknown \(extra\)"),
        (
            lambda state: state.update({"head.bias": torch.zeros(3)}),
            r"1 of another shape \(head.bias \(3,\) for \(2,\)",
        ),
    ],
)
def test_a_misfit_is_one_sentence_with_the_name(model, change, expected):
    checkpoint = saved(model, Base.of(model.backbone), "head")
    change(checkpoint["state_dict"])
    with pytest.raises(RunError, match=expected):
        complete(checkpoint, model, "it")


def test_an_unknown_name_among_what_was_left_out_is_refused(model):
    checkpoint = saved(model, Base.of(model.backbone), "head")
    checkpoint["base"]["tensors"]["backbone.net.stage9"] = "0"
    with pytest.raises(RunError, match="unknown"):
        complete(checkpoint, model, "it")


@pytest.mark.parametrize("said", ["x", {}, {"source": 1, "hash": None, "tensors": {}}, {"tensors": {"a": 1}}])
def test_a_checkpoint_that_says_it_otherwise_is_refused(said):
    with pytest.raises(RunError, match="to list under 'base'"):
        left_out({"base": said}, "it")


def test_a_digest_is_of_the_values_and_not_of_their_layout():
    x = torch.randn(2, 3, 4, 4)
    assert digest(x) == digest(x.contiguous(memory_format=torch.channels_last)) != digest(x + 1e-7)


def test_digests_are_those_that_checkpoints_have_had_since_the_beginning():
    x = torch.arange(6.0).view(2, 3)
    assert digest(x) == hashlib.blake2b(x.numpy().tobytes(), digest_size=16).hexdigest()
    assert digest(x.T) == digest(x.T.contiguous()) != digest(x)
    assert digest(torch.tensor(1, dtype=torch.int32)) == digest(torch.tensor([1], dtype=torch.int32))
    assert digests(nn.BatchNorm1d(2)).keys() == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


class Shared:
    """Stands in for a tensor of which each process has a share."""

    def full_tensor(self):
        return torch.ones(2)


def test_of_shares_the_whole_counts():
    assert torch.equal(whole(Shared()), torch.ones(2)) and digest(Shared()) == digest(torch.ones(2))
    x = torch.ones(2)
    assert whole(x) is x


def built(source, missing=()):
    return SimpleNamespace(weights=SimpleNamespace(source=source, missing=missing, hash="h"), net=nn.Linear(1, 1))


@pytest.mark.parametrize("source", ["pretrained", "package:minilm", "weights.v2", "plain", "folder.d"])
def test_only_a_file_with_a_suffix_is_named_by_its_path(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch()
    (tmp_path / "folder.d").mkdir()
    base = Base.of(built(source))
    assert (base.source, base.hash, base.digests.keys()) == (source, "h", {"weight", "bias"})


def test_what_is_random_in_part_is_no_base():
    for backbone in (built(None), built("pretrained", ["bias"])):
        assert Base.of(backbone) == Base() == Base(None, None, {})


def test_adapters_do_not_hide_what_they_were_put_around():
    base = Base("s", "h", {"a.weight": "1", "base_layer.b": "2"})
    names = ("backbone.net.a.base_layer.weight", "backbone.net.a.weight", "head.a.weight", "backbone.a.weight")
    assert base.given(names) == {"backbone.net.a.base_layer.weight": "1", "backbone.net.a.weight": "1"}
    assert base.given(["backbone.net.base_layer.b"]) == {"backbone.net.base_layer.b": "2"}


def test_a_checkpoint_of_which_nothing_can_be_left_out_stays_as_it_is(model):
    checkpoint = {"state_dict": dict(model.state_dict())}
    Base("s", "h", {}).leave_out(checkpoint, model.state_dict())
    Base.of(model.backbone).leave_out(checkpoint, [])
    assert checkpoint.keys() == {"state_dict"} and checkpoint["state_dict"].keys() == model.state_dict().keys()
    assert left_out(checkpoint, "it") == Base()


def test_only_what_all_states_hold_is_left_out(model):
    base, name = Base.of(model.backbone), "backbone.net.stage1.0.weight"
    checkpoint = {key: dict(model.state_dict()) for key in ("state_dict", "current_model_state")}
    del checkpoint["current_model_state"][name]
    base.leave_out(checkpoint, frozen_names(model, [frozenset()]))
    assert name in checkpoint["state_dict"] and name not in checkpoint["base"]["tensors"]
    assert "backbone.net.stage1.1.weight" not in checkpoint["state_dict"]
    assert {k: v for k, v in checkpoint["base"].items() if k != "tensors"} == {"source": base.source, "hash": base.hash}
    said = left_out(checkpoint, "it")
    assert (said.source, said.hash, said.digests) == (base.source, base.hash, checkpoint["base"]["tensors"])


def test_of_many_misfits_three_are_named_and_of_all_kinds(model):
    checkpoint = {"state_dict": dict(model.state_dict())}
    complete(checkpoint, model, "it")  # the negative control
    names = sorted(checkpoint["state_dict"])
    for name in names[:4]:
        del checkpoint["state_dict"][name]
    checkpoint["state_dict"] |= {f"x{i}": torch.zeros(1) for i in range(3)}
    with pytest.raises(RunError) as caught:
        complete(checkpoint, model, "it")
    assert re.search(r"4 missing \((\S+, ){3}…\) and 3 unknown \(x0, x1, x2\)\.$", str(caught.value))


@pytest.mark.parametrize("tensors", [{"a": 1}, {1: "a"}, {"a": "b", "c": None}, []])
def test_what_was_left_out_is_said_in_words(tensors):
    with pytest.raises(RunError, match="to list under 'base' what it leaves out but got dict"):
        left_out({"base": {"source": "s", "hash": None, "tensors": tensors}}, "it")
