"""Policies and rates in a run: what trains, and with which optimizer."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tunesmith.config.build import build
from tunesmith.errors import ConfigError, PolicyError
from tunesmith.head.linear import Linear
from tunesmith.run.assembly.assemble import assemble, assemble_data
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.assembly.table import make_table
from tunesmith.run.record import metrics_log
from tunesmith.run.record.quiet import quiet
from tunesmith.run.train import train

POLICIES = sorted(p.stem for p in (Path(__file__).parents[3] / "conf" / "policy").glob("*.yaml"))
RATES = sorted(p.stem for p in (Path(__file__).parents[3] / "conf" / "rates").glob("*.yaml"))
TWO_OPTIMIZERS = (
    "policy.phases=[{train: [head], epochs: 1, optimizer: {_target_: torch.optim.Adam, lr: 3e-3}},"
    "{train: [all], optimizer: {_target_: torch.optim.SGD, lr: 5e-3}, scheduler: {warmup: 0.0}}]"
)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_never_trains_keeps_its_bits_and_the_rest_moves(policy, quick, tmp_path):
    words = ["policy.epochs=1"] if policy == "plateau" else []  # else it would wait
    cfg = quick(f"policy={policy}", *words, "trainer.max_epochs=4", f"paths.run={tmp_path}", samples=60)
    parts = assemble(cfg, tmp_path, {})
    task = parts.task
    before = {k: v.clone() for k, v in task.state_dict().items()}
    with quiet():
        parts.trainer.fit(task, datamodule=parts.data)
    ever = {row.parameter.name for row in task.table.rows if row.first_epoch is not None}
    frozen = {name for name, _ in task.named_parameters()} - ever
    moved = {k for k, v in task.state_dict().items() if not v.equal(before[k])}
    assert ever <= moved and not frozen & moved
    for name, module in task.named_modules():  # statistics move only where scale and offset train
        if "running_mean" in dict(module.named_buffers(recurse=False)):
            assert (f"{name}.running_mean" in moved) == ({f"{name}.weight", f"{name}.bias"} <= ever)


@pytest.fixture(scope="module")
def plans(tmp_path_factory, quick_below):
    """All policies and all rates, built; to compose takes most of the time."""
    logs = tmp_path_factory.mktemp("logs")
    policies = [build(quick_below(logs, f"policy={name}").policy, _recursive_=False) for name in POLICIES]
    return policies, [build(quick_below(logs, f"rates={name}").rates) for name in RATES]


def test_every_parameter_is_in_one_group_that_has_one_name(family, small_backbone, plans):
    (option, _), backbone = family, small_backbone
    head = Linear(feature_dim=backbone.feature_dim, num_outputs=2)
    names = sorted(
        [f"backbone.{n}" for n, _ in backbone.named_parameters()] + ["head.output.weight", "head.output.bias"]
    )
    for policy, rates in itertools.product(*plans):
        try:
            groups = make_table(backbone, head, policy, rates, 0.1).groups()
        except PolicyError:
            no_bias = not any(name.endswith("bias") for name, _ in backbone.named_parameters())
            assert option in ("mnist_cnn", "custom") or no_bias  # has no norms, has two stages
            continue
        assert sorted(name for group in groups for name in group.parameters) == names
        assert len({group.name for group in groups}) == len(groups)


def test_a_phase_trains_by_its_own_optimizer_and_schedule_and_the_log_says_so(quick):
    folder = train(
        quick(TWO_OPTIMIZERS, "trainer.max_epochs=3", "scheduler.warmup=0.0", "test=null", samples=60)
    ).folder
    rows = [row for row in metrics_log.read(folder) if any(k.startswith("lr-") for k in row)]
    rates = [{k: v for k, v in row.items() if k.startswith("lr-") and k.endswith("/head")} for row in rows]
    assert [list(r) for r in rates] == [["lr-Adam/head"], ["lr-SGD/head"], ["lr-SGD/head"]]
    adam, first, second = (next(iter(r.values())) for r in rates)
    assert (adam, first) == (pytest.approx(3e-3), pytest.approx(5e-3))
    assert second == pytest.approx(2.5e-3)  # half of the phase's own cosine, not two thirds of the run's


def test_rates_that_ramp_and_warm_up_do_so_in_the_log(quick):
    words = ["policy=gradual", "policy.stages=1", "rates=ramp", "rates.over=1.0", "+rates.thaw_warmup=1.0"]
    cfg = quick(*words, "scheduler=constant", "trainer.max_epochs=4", "test=null", "optimizer.lr=1.0", samples=60)
    rows = [row for row in metrics_log.read(train(cfg).folder) if "lr-AdamW/stage3" in row]
    # From epoch 1 on; half of the first epoch's two steps when it begins. Decay 0.5 relaxes over the run.
    assert [row["lr-AdamW/stage3"] for row in rows] == pytest.approx(
        [0.5**1.0 * 1e-9, 0.5**0.75 * 0.5, 0.5**0.5, 0.5**0.25], abs=1e-6
    )
    assert [row["lr-AdamW/head"] for row in rows] == [1.0] * 4


def test_a_phase_that_never_begins_is_said(quick, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assemble(quick("policy=lp_ft", "policy.probe_epochs=2", "trainer.max_epochs=2"), tmp_path, {})
    assert "1 of 2 begin at epoch 2 or later" in caplog.text
    caplog.clear()
    assemble(quick("policy=lp_ft", "policy.probe_epochs=1", "trainer.max_epochs=2"), tmp_path, {})
    assert "Expected" not in caplog.text


def test_a_plateau_schedule_of_a_phase_needs_a_validation_split(quick, tmp_path):
    schedule = "{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau}"
    cfg = quick(f"policy.phases=[{{train: [all], scheduler: {schedule}}}]", "trainer.limit_val_batches=0")
    with pytest.raises(ConfigError, match="validation split"):
        assemble(cfg, tmp_path, {})


@pytest.mark.parametrize("policy", ["lora", "dora", "ia3"])
def test_a_rebuilt_run_has_its_adapters_merged_and_says_the_same(policy, quick):
    folder = train(quick(f"policy={policy}", "optimizer.lr=0.05", samples=60)).folder
    before = pd.read_parquet(folder / "predictions.parquet").filter(like="p_").to_numpy()
    found = rebuild(str(folder), "best")
    assert not any("lora" in name or "ia3" in name for name, _ in found.task.named_parameters())
    data = assemble_data(found.cfg.data, found.preprocess)
    with torch.no_grad():
        batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
        after = found.task.eval().predict(found.task(batch["input"]))
    assert np.allclose(after.numpy(), before[: len(after)], atol=1e-5)
