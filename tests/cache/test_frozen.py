from __future__ import annotations

import pytest
import torch
from torch import nn

from tunesmith.backbone.aside import POOLED
from tunesmith.cache.frozen import Cut, Frozen
from tunesmith.contract.features import Features, Needs, Stage
from tunesmith.contract.tree import flatten, leaves
from tunesmith.errors import PolicyError


@pytest.fixture
def frozen(assembled):
    parts = assembled("policy=last_stages", "policy.stages=1")
    return Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)


@pytest.fixture
def whole(assembled):
    """All of the backbone is frozen."""
    parts = assembled()
    return Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)


@pytest.fixture
def images():
    return list(torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))


POOLED_ONLY, LEVELS = Needs(pooled=True), Needs(stage_features=True)
ALL = Needs(pooled=True, maps=(0, 1, 2), stage_features=True)


@pytest.mark.parametrize(
    ("needs", "last", "names"),
    [
        (POOLED_ONLY, False, {"pooled"}),
        (LEVELS, False, {"stage_features.0", "stage_features.1", "stage_features.2"}),
        (Needs(pooled=True, maps=(0,)), False, {"pooled", "maps.0"}),
        (Needs(maps=(-1,)), True, {"stage3"}),
        (Needs(tokens=True, maps=(0, -1)), True, {"stage3", "maps.0"}),
    ],
)
def test_what_the_head_needs_is_kept_and_nothing_else(whole, images, needs, last, names):
    whole.task.needs = needs
    cut = whole.cut(3)
    assert cut.last == last and whole.run(images[:4], cut).keys() == names


def test_heads_that_need_the_same_of_a_cut_share_an_entry(whole):
    for k, ways in ((2, [POOLED_ONLY, Needs(tokens=True, maps=(-1,))]), (3, [Needs(maps=(-1, 0)), Needs(maps=(0, 2))])):
        cuts = []
        for whole.task.needs in ways:
            cuts.append(whole.cut(k))
        assert cuts[0] == cuts[1]


def test_in_front_of_a_trainable_stage_its_input_is_kept(frozen, images):
    assert frozen.cut(2) == Cut(2, True, Needs())
    frozen.task.needs = Needs(pooled=True, tokens=True, maps=(0, 1, 2), stage_features=True)
    kept = frozen.run(images[:4], frozen.cut(2))
    assert kept.keys() == {"stage2", "maps.0", "stage_features.0", "stage_features.1"}  # the second map is stage2


@pytest.mark.parametrize("count", [16, 20])
def test_going_on_gives_the_bits_of_the_whole(assembled, images, count):
    parts = assembled()
    frozen = Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)
    x = frozen._input(images)[:count].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        whole = parts.task.backbone(x, needs=ALL)
    for cut in (*(Cut(k, True, ALL) for k in (1, 2, 3)), Cut(3, False, Needs(pooled=True, stage_features=True))):
        found = {name: parts.task.laid_out(t) for name, t in frozen.run(images[:count], cut).items()}
        with torch.no_grad():
            features = parts.task.backbone(found, needs=ALL if cut.last else cut.needs)
        assert torch.equal(features.pooled, whole.pooled), cut
        assert all(torch.equal(a, b) for a, b in zip(features.stage_features, whole.stage_features, strict=True)), cut
        assert all(torch.equal(a, b) for a, b in zip(features.maps, whole.maps, strict=cut.last)), cut
    assert isinstance(features, Features) and POOLED in found


def test_what_trains_in_front_of_the_cut_is_refused(frozen, images):
    frozen.run(images, Cut(2, True, Needs()))
    with pytest.raises(PolicyError, match="stage3"):
        frozen.run(images, Cut(3, False, POOLED_ONLY))


def test_a_batchnorm_that_trains_in_front_of_the_cut_is_refused(frozen, images):
    (norm,) = (m for m in frozen.backbone.net.stage1.modules() if isinstance(m, nn.BatchNorm2d))
    norm.train()
    with pytest.raises(PolicyError, match="cache=off"):
        frozen.run(images, Cut(2, True, Needs()))
    norm.eval()
    frozen.run(images, Cut(2, True, Needs()))


def test_pairs_of_images_are_laid_out_run_and_kept_too(whole, images):
    """Inputs nest one level: the same image under two names, through a backbone that keeps the names."""

    class Pairs(nn.Module):
        stages, training = (Stage("one", ()),), False

        def members(self, stage):
            return {}

        def activations(self, x, k, needs):
            assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in leaves(x))
            return flatten(x, "one")

    whole.task.backbone = whole.backbone = Pairs()
    whole.prepare = lambda samples, device, alike: {
        side: {"image": torch.stack(list(samples)).float()} for side in ("left", "right")
    }
    kept = whole.run(images[:3], Cut(1, True, Needs()))
    assert kept.keys() == {"one/left/image", "one/right/image"}
    assert all(torch.equal(tensor, torch.stack(images[:3]).float()) for tensor in kept.values())
