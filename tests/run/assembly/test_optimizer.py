from __future__ import annotations

import pytest
import torch

from tunesmith.config.build import Node
from tunesmith.run.assembly.optimizer import build_optimizer
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train


def built(**node):
    return build_optimizer(Node(node), [{"params": [torch.nn.Parameter(torch.ones(3))]}])


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
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
    assert not any(built(_target_=f"torch.optim.{name}", lr=0.1).defaults["fused"] for name in ("Adagrad", "SGD"))
    assert "fused" not in built(_target_="torch.optim.NAdam", lr=0.1).defaults


def test_weights_in_the_order_of_channels_and_those_that_train_later_too(quick):
    """The kernel goes by memory, so gradients and averages must lie as their weights do."""
    words = ["policy=custom", "policy.phases=[{train: [head, norm], epochs: 1}, {train: [all]}]", "data.workers=0"]
    ends = [
        train(quick(*words, *own, "trainer.max_epochs=2", "test=null", samples=80)).folder
        for own in (["+optimizer.fused=true"], ["+optimizer.fused=false"], [])
    ]
    one, plain, other = (load(folder / "checkpoints" / "best.ckpt")["state_dict"] for folder in ends)
    for name, tensor in plain.items():
        assert torch.equal(one[name], other[name]), name
        torch.testing.assert_close(one[name], tensor, rtol=1e-4, atol=1e-5)


def test_it_goes_with_clipping_in_mixed_precision(quick):
    words = ["trainer.precision=bf16-mixed", "+trainer.gradient_clip_val=0.5", "optimizer=adamw"]
    result = train(quick(*words, "trainer.max_epochs=1", "test=null", samples=60))
    assert "val/accuracy" in result.metrics
