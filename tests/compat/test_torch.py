import pytest
import torch
from torch import nn

from tunesmith.compat import torch as ours
from tunesmith.errors import LibraryError


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (torch, "_foreach_lerp_"),
        (nn.modules.batchnorm, "_NormBase"),
        (torch.optim.Adam, "_step_supports_amp_scaling"),
        (torch.optim.SGD, "_step_supports_amp_scaling"),
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_version_without_the_name_is_refused(refused, owner, name):
    refused(ours, "torch", owner, name)


def test_a_version_without_the_function_is_refused(refused):
    refused(ours, "torch", torch.utils._pytree, "tree_map")


def test_a_version_without_the_hooks_is_refused(refused, monkeypatch):
    class Module:
        def __init__(self):
            self._forward_hooks, self._forward_pre_hooks, self._state_dict_pre_hooks = {}, {}, {}

    monkeypatch.setattr(nn, "Module", Module)
    refused(ours, "torch", Module, "_forward_hooks")


def test_tensors_move_toward_others():
    starts, ends = [torch.zeros(3), torch.ones(2)], [torch.ones(3), torch.ones(2)]
    ours.lerp(starts, ends, 0.25)
    assert [s.tolist() for s in starts] == [[0.25] * 3, [1.0] * 2]


def test_views_are_copied_and_the_rest_is_left():
    whole = torch.arange(6.0)
    found = ours.without_views({"view": [whole[:3]], "whole": whole, "word": "x"})
    assert found["whole"] is whole
    assert found["word"] == "x"
    found["view"][0].zero_()
    assert whole.tolist() == list(range(6))


def test_hooks_can_be_put_back():
    module = nn.Linear(1, 1)
    module.register_forward_hook(lambda *a: None)
    before = ours.hooks(module)
    module.register_forward_hook(lambda *a: None)
    module.register_full_backward_hook(lambda *a: None)
    assert len(before["_forward_hooks"]) == 1
    vars(module).update(before)
    assert len(module._forward_hooks) == 1
    assert not module._backward_hooks


def optimizer(**options):
    return torch.optim.AdamW(nn.Linear(1, 1).parameters(), **options)


@pytest.mark.parametrize("fused", [True, False, None])
def test_no_optimizer_unscales_by_itself(fused):
    made = optimizer(fused=fused)
    ours.let_trainer_unscale(made)
    assert made._step_supports_amp_scaling is False


def test_a_fused_optimizer_that_says_it_by_another_name_is_refused():
    made = optimizer(fused=True)
    del made._step_supports_amp_scaling
    with pytest.raises(LibraryError, match="AdamW has no '_step_supports_amp_scaling'"):
        ours.let_trainer_unscale(made)
