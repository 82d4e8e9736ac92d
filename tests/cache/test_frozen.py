from __future__ import annotations

import pytest
import torch
from torch import nn

from tunesmith.backbone.base import POOLED
from tunesmith.cache.frozen import Cut, Frozen
from tunesmith.contract.features import Features
from tunesmith.errors import PolicyError


@pytest.fixture
def frozen(assembled):
    parts = assembled("policy=last_stages", "policy.stages=1")
    return Frozen(parts.task, parts.trainer, parts.data.prepare)


@pytest.fixture
def whole(assembled):
    """All of the backbone is frozen."""
    parts = assembled()
    return Frozen(parts.task, parts.trainer, parts.data.prepare)


@pytest.fixture
def pictures():
    return list(torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))


class Pooled(nn.Module):
    def forward(self, features):
        return features.pooled


class Mapped(nn.Module):
    def forward(self, features):
        return features.map.mean((2, 3)) if features.map is not None else features.pooled


class Unpacking(nn.Module):
    def forward(self, features):
        pooled, *_ = features
        return pooled


class Unready(nn.Module):
    def forward(self, features):
        raise RuntimeError(f"not fitted for {features.pooled.shape}")


class Levelled(nn.Module):
    def __init__(self, level_dims=()):
        super().__init__()

    def forward(self, features):
        return torch.cat(features.levels, 1)


@pytest.mark.parametrize(
    ("head", "cut"),
    [
        (Pooled(), Cut(3, pooled=True, levels=False)),
        (Unready(), Cut(3, pooled=True, levels=False)),
        (Mapped(), Cut(3, pooled=False, levels=False)),
        (Unpacking(), Cut(3, pooled=False, levels=False)),
        (Levelled(), Cut(3, pooled=True, levels=True)),
    ],
)
def test_the_map_is_kept_only_for_a_head_that_looks_at_it(whole, pictures, head, cut):
    whole.task.head, whole.task.wants_levels = head.train(), isinstance(head, Levelled)
    assert whole.look(pictures[:4], 3)[0] == cut
    assert head.training


@pytest.mark.parametrize("head", [Pooled(), Mapped(), Levelled()])
def test_a_look_shows_what_is_kept(whole, pictures, head):
    whole.task.head, whole.task.wants_levels = head, isinstance(head, Levelled)
    cut, seen = whole.look(pictures[:4], 3)
    kept = whole.run(pictures[:4], cut)
    assert seen.keys() == kept.keys()
    assert all(torch.allclose(seen[name], kept[name], atol=1e-5) for name in kept)


def test_in_front_of_a_trainable_stage_its_input_is_kept(frozen, pictures):
    assert frozen.look(pictures[:4], 2)[0] == Cut(2, pooled=False, levels=False)


@pytest.mark.parametrize("count", [16, 20])
def test_going_on_gives_the_bits_of_the_whole(assembled, pictures, count):
    parts = assembled()
    frozen = Frozen(parts.task, parts.trainer, parts.data.prepare)
    x = frozen._input(pictures)[:count].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        whole = parts.task.backbone(x, levels=True)
    for cut in (Cut(1, False, True), Cut(2, False, True), Cut(3, False, True), Cut(3, True, True)):
        found = {name: parts.task.laid_out(t) for name, t in frozen.run(pictures[:count], cut).items()}
        with torch.no_grad():
            features = parts.task.backbone(found, levels=True)
        assert torch.equal(features.pooled, whole.pooled), cut
        assert all(torch.equal(a, b) for a, b in zip(features.levels, whole.levels, strict=True)), cut
    assert isinstance(features, Features) and POOLED in found


def test_what_trains_in_front_of_the_cut_is_refused(frozen, pictures):
    frozen.run(pictures, Cut(2, False, False))
    with pytest.raises(PolicyError, match="stage3"):
        frozen.run(pictures, Cut(3, True, False))


def test_a_batchnorm_that_trains_in_front_of_the_cut_is_refused(frozen, pictures):
    (norm,) = (m for m in frozen.backbone.net.stage1.modules() if isinstance(m, nn.BatchNorm2d))
    norm.train()
    with pytest.raises(PolicyError, match="cache=off"):
        frozen.run(pictures, Cut(2, False, False))
    norm.eval()
    frozen.run(pictures, Cut(2, False, False))
