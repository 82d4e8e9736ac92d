from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from tunesmith.run.optimizer import build_optimizer
from tunesmith.run.train import train


def built(**node):
    return build_optimizer(OmegaConf.create(node), [{"params": [torch.nn.Parameter(torch.ones(3))]}])


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_one_kernel_for_all_parameters_unless_it_is_said_how(name):
    target = f"torch.optim.{name}"
    assert built(_target_=target, lr=0.1).defaults["fused"] is True
    assert built(_target_=target, lr=0.1, fused=False).defaults["fused"] is False
    assert not built(_target_=target, lr=0.1, foreach=True).defaults["fused"]
    fused, plain = built(_target_=target, lr=0.1), built(_target_=target, lr=0.1, fused=False)
    for _ in range(3):
        for optimizer in (fused, plain):
            (weight,) = optimizer.param_groups[0]["params"]
            weight.grad = torch.tensor([0.1, -2.0, 30.0])
            optimizer.step()
    one, other = (o.param_groups[0]["params"][0] for o in (fused, plain))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_optimizers_without_such_a_kernel_on_every_device():
    assert not built(_target_="torch.optim.Adagrad", lr=0.1).defaults["fused"]
    assert "fused" not in built(_target_="torch.optim.NAdam", lr=0.1).defaults


def test_it_goes_with_clipping_in_mixed_precision(quick):
    words = ["trainer.precision=bf16-mixed", "+trainer.gradient_clip_val=0.5", "optimizer=adamw"]
    result = train(quick(*words, "trainer.max_epochs=1", "test=null", samples=60))
    assert "val/accuracy" in result.metrics
