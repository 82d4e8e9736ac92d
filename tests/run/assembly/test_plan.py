from __future__ import annotations

import dataclasses

import pytest
from omegaconf import OmegaConf

from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.assembly.plan import Model, Plan


class Bare:
    """A policy that derives from nothing."""

    def plan(self, parameters):
        return []


def test_a_plan_is_resolved_and_later_changes_of_the_configuration_do_not_reach_it():
    cfg = compose("train", ["seed=7", "callback=default", "+cache.folder=somewhere"])
    plan = Plan.of(cfg)
    cfg.seed, cfg.task.monitor = 8, "val/loss"
    assert plan.data["seed"] == 7
    assert plan.callbacks["checkpoint"]["monitor"] == plan.model.monitor == "val/accuracy"
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.test = None


def test_without_a_monitor_only_callbacks_that_watch_it_watch_nothing():
    words = ["callback=[default,soup]", "+callback.own={_target_: x.Y, monitor: val/loss}", "callback.progress=null"]
    plan = Plan.of(compose("train", words))
    after = plan.without_monitor()
    assert after.model.monitor is None and "progress" not in plan.callbacks
    assert {n: node["monitor"] for n, node in after.callbacks.items() if "monitor" in node} == {
        "checkpoint": None,
        "soup": None,
        "own": "val/loss",
    }
    assert plan.model.monitor == plan.callbacks["checkpoint"]["monitor"] == "val/accuracy"


def test_what_is_settled_is_in_a_copy():
    plan = Plan.of(compose("train", ["policy=surgical"]))
    assert plan.model.chosen(["stage1"]).build_policy().chosen == ("stage1",)
    assert plan.model.contiguous().task["channels_last"] is False
    assert plan.with_trainer(max_epochs=1).trainer["max_epochs"] == 1
    assert plan == Plan.of(compose("train", ["policy=surgical"]))


def test_schedules_are_those_of_the_run_and_of_its_phases():
    own = "policy.phases=[{train: [head], epochs: 1, scheduler: {warmup: 0.5}}, {train: [all]}]"
    assert [node.get("warmup") for node in Model.of(compose("train", [own])).schedules] == [0.05, 0.5, None]


def test_a_policy_that_derives_from_nothing_is_a_sentence(monkeypatch):
    plan = Plan.of(compose("train", []))
    monkeypatch.setattr("tunesmith.run.assembly.plan.build", lambda *args, **kwargs: Bare())
    with pytest.raises(ConfigError, match=r"derives from tunesmith\.contract\.policy\.Policy but got Bare"):
        plan.model.build_policy()


@pytest.mark.parametrize(
    ("words", "settled"),
    [
        (["data.split.val=0"], True),
        (["head=ridge", "policy=linear_probe", "data.augment=none"], True),
        (["policy=surgical"], True),
        (["policy=lora"], False),
        (["trainer.micro_batch_size=8"], False),
    ],
)
def test_assembly_settles_the_plan_and_leaves_the_configuration_as_it_is(words, settled, quick, tmp_path):
    cfg = quick(*words, samples=60)
    before = OmegaConf.to_container(cfg)
    parts = assemble(cfg, tmp_path, {})
    assert OmegaConf.to_container(cfg) == before
    assert (parts.plan != Plan.of(cfg)) == settled
