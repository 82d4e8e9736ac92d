from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tunesmith.task.optimization.precision import depthwise_in_float32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 5, groups=8), nn.Conv2d(8, 8, 3, groups=8))


def test_only_the_slow_convolutions_leave_autocast():
    net, seen = network(), []
    names = list(net.state_dict())
    assert depthwise_in_float32(net) == 1
    for layer in net:
        layer.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        net(torch.randn(2, 3, 12, 12))
        assert torch.is_autocast_enabled("cpu")
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16]
    assert list(net.state_dict()) == names


def test_outside_of_autocast_nothing_changes():
    net, x = network(), torch.randn(2, 3, 12, 12)
    before = net(x)
    depthwise_in_float32(net)
    assert torch.equal(net(x), before)
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_is_as_it_was_after_an_error():
    net = network()
    depthwise_in_float32(net)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError):
            net[1](torch.randn(2, 3, 2, 2))
        assert torch.is_autocast_enabled("cpu")


def test_a_copy_uses_its_own_weights():
    net = network()
    depthwise_in_float32(net)
    twin, x = copy.deepcopy(net), torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        twin[1].weight.zero_()
    assert not torch.equal(twin(x), net(x))
