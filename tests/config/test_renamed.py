"""Names of older versions: typed, in configurations, in run.json and in checkpoints."""

from __future__ import annotations

import importlib
import logging

import pytest
import torch
from omegaconf import OmegaConf

from tunesmith.config import renamed
from tunesmith.config.compose import compose


def test_every_class_that_moved_is_there():
    for old, new in renamed.TARGETS.items():
        module, _, name = new.rpartition(".")
        assert hasattr(importlib.import_module(module), name), old


def test_no_new_name_is_an_old_one():
    assert not set(renamed.TARGETS) & set(renamed.TARGETS.values())
    assert not set(renamed.KEYS) & set(renamed.KEYS.values())


@pytest.mark.parametrize(
    ("word", "now"),
    [
        ("trainer.batch_size=4", "trainer.micro_batch_size=4"),
        ("+trainer.batch_size=4,8", "+trainer.micro_batch_size=4,8"),
        ("head=multi_level", "head=multi_stage"),
        ("head=linear,multi_level,weighted_levels", "head=linear,multi_stage,weighted_stages"),
        ("head.features=levels", "head.features=stage_features"),
        ("task.reads=both_ways", "task.attention=bidirectional"),
        ("~task.pretraining", "~task.lm_loss_weight"),
        ("data.batch_size=4", "data.batch_size=4"),
        ("name=multi_level", "name=multi_level"),
    ],
)
def test_what_is_typed_says_its_new_name(word, now, caplog):
    with caplog.at_level(logging.WARNING):
        assert renamed.typed([word]) == [now]
    assert (f"'{now}'" in caplog.text) is (word != now)


def test_a_typed_line_composes(caplog):
    cfg = compose("train", ["head=multi_level", "trainer.batch_size=4", "task=causal_lm", "task.reads=forward"])
    assert cfg.head._target_.endswith("MultiStage") and cfg.trainer.micro_batch_size == 4
    assert cfg.task.attention == "causal" and caplog.text.count("is now written") == 3


def test_a_recorded_configuration_is_read_and_stays_as_it_is():
    old = OmegaConf.create(
        {
            "task": {"_target_": "tunesmith.task.language_modelling.LanguageModelling", "reads": "both_ways"},
            "head": {"_target_": "tunesmith.head.multi_level.MultiLevel", "hidden": [4]},
            "data": {"_target_": "tunesmith.data.text_files.TextFiles", "hidden": 0.2, "max_length": 8},
            "callback": {"last": {"_target_": "tunesmith.run.last.LastCheckpoint"}, "none": None},
            "trainer": {"batch_size": "${data.max_length}"},
        }
    )
    saved = OmegaConf.to_yaml(old)
    new = renamed.config(old)
    assert OmegaConf.to_yaml(old) == saved
    assert OmegaConf.to_container(new, resolve=False) == {
        "task": {"_target_": "tunesmith.task.language_modelling.LanguageModelling", "attention": "bidirectional"},
        "head": {"_target_": "tunesmith.head.multi_stage.MultiStage", "hidden": [4]},
        "data": {"_target_": "tunesmith.data.text.text_files.TextFiles", "mlm_probability": 0.2, "max_length": 8},
        "callback": {"last": {"_target_": "tunesmith.run.resume.last_checkpoint.LastCheckpoint"}, "none": None},
        "trainer": {"micro_batch_size": "${data.max_length}"},
    }
    assert renamed.config(new) == new


def test_a_record_is_read():
    old = {
        "decision": {"best": {"temperature": 2.0}},
        "policy": {"decisions": [1]},
        "batch": {"at_once": 3},
        "timing": {"images_per_second": 1.0},
        "data": {"preprocess": {"reads": "in_two_stacks"}},
        "overrides": ["trainer.batch_size=3"],
    }
    new = {
        "calibration": {"best": {"temperature": 2.0}},
        "policy": {"transitions": [1]},
        "batch": {"micro_batch_size": 3},
        "timing": {"samples_per_second": 1.0},
        "data": {"preprocess": {"attention": "encoder_decoder"}},
        "overrides": ["trainer.micro_batch_size=3"],
    }
    assert renamed.record(old) == new == renamed.record(new)
    assert renamed.record({"data": None, "policy": None}) == {"data": None, "policy": None}


def test_a_checkpoint_is_read():
    weight = torch.ones(2)
    old = {
        "state_dict": {"head.words.parts.a": weight, "head.language.words.b": weight, "backbone.words.c": weight},
        "callbacks": {"Throughput": {"images": 3, "seconds": 1.0}},
        "phases": {"decisions": []},
        "resume": {"metrics": {"train/pretraining_loss": weight}, "left_out": ["head.words.parts.a"]},
    }
    new = renamed.checkpoint(old)
    assert list(new["state_dict"]) == ["head.lm_head.parts.a", "head.language.lm_head.b", "backbone.words.c"]
    assert new["state_dict"]["head.lm_head.parts.a"] is weight
    assert new["callbacks"]["Throughput"] == {"samples": 3, "seconds": 1.0} and new["phases"] == {"transitions": []}
    assert new["resume"] == {"metrics": {"train/lm_loss": weight}, "left_out": ["head.lm_head.parts.a"]}
