"""A run with the cache gives the bits of a run without."""

from __future__ import annotations

import json

import pytest
import torch

from tunesmith.backbone.tiny import Tiny
from tunesmith.contract.parameters import ParameterTable
from tunesmith.errors import ConfigError, PolicyError
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train

GRADUAL = "policy.phases=[{train: [head], epochs: 2}, {train: [head, 'stage: -1:'], epochs: 2}, {train: [all]}]"
# 96, 48 and 96 images: whole batches of 32, and one of 16, which give the same last bit; see frozen.BATCH.
EARLY = [
    "policy=plateau",
    "policy.epochs=3",
    "policy.patience=1",
    "policy.min_delta=9",
    "policy.stages=1",
    "trainer.max_epochs=5",
]
MASKS = ["data=synthetic_masks", "data.samples=240", "task=segmentation"]
DATA = ["data.split.val=0.2", "data.split.test=0.4", "data.augment=none", "trainer.max_epochs=3"]


@pytest.fixture
def trained(quick, tmp_path, everything_pays):
    def make(*overrides, cache="auto"):
        words = [*DATA, f"cache={cache}", f"paths.cache={tmp_path / 'cache'}", *overrides]
        result = train(quick(*words, samples=240))
        state = load(result.folder / "checkpoints" / "last.ckpt")["state_dict"]
        metrics = {k: v for k, v in result.metrics.items() if "per_second" not in k}
        return state, metrics, json.loads((result.folder / "run.json").read_text())

    return make


@pytest.fixture
def first_stage(monkeypatch):
    """Counts the images that run through the first stage."""
    counted = []
    run_stage = Tiny.run_stage

    def counting(self, stage, x):
        if stage.name == "stage1":
            counted.append(len(x))
        return run_stage(self, stage, x)

    monkeypatch.setattr(Tiny, "run_stage", counting)
    return counted


def test_nothing_is_kept_of_a_test_of_views(trained):
    _, metrics, record = trained("policy=linear_probe", "data.test_views=flips")
    assert record["cache"]["computed"] == 240 - 96
    assert trained("policy=linear_probe", "data.test_views=flips", cache="off")[1] == metrics


@pytest.mark.parametrize("policy", [["policy=linear_probe"], ["policy=last_stages", "policy.stages=1"]])
def test_no_image_runs_in_training_validation_and_test(trained, first_stage, monkeypatch, policy):
    trained(*policy)
    assert len(first_stage) <= 3 + 8  # looks, a probe, and all of them once
    del first_stage[:]
    monkeypatch.setattr("tunesmith.data.dataset.ImageDataset.remember", None)  # nor are all of them decoded
    trained(*policy)
    assert len(first_stage) <= 2  # the look at a few


LAST_TWO = ["policy=last_stages", "policy.stages=2"]


def same(one, other):
    return all(torch.equal(one[0][k], other[0][k]) for k in one[0]) and one[1] == other[1]


@pytest.mark.parametrize(
    ("overrides", "computed"),
    [
        (["policy=linear_probe"], 240),
        pytest.param(["policy=linear_probe", "head=mlp", "callback=[quiet,ema]"], 240, marks=pytest.mark.long),
        (["policy=last_stages", "policy.stages=1"], 240),
        pytest.param([*MASKS, "policy=linear_probe"], 240, marks=pytest.mark.long),
        pytest.param([*MASKS, "policy=last_stages", "policy.stages=1"], 240, marks=pytest.mark.long),
        pytest.param([*LAST_TWO, "trainer.precision=bf16-mixed"], 240, marks=pytest.mark.long),
        ([GRADUAL, "trainer.max_epochs=5"], 480),
        pytest.param(EARLY, 480, marks=pytest.mark.long),
        pytest.param(["policy=linear_probe", "data.augment=light"], 144, marks=pytest.mark.long),
        (["policy=linear_probe", "data.augment=light", "cache.views=3"], 144 + 3 * 96),
    ],
)
def test_weights_and_metrics_are_those_of_a_run_without(trained, overrides, computed):
    without, cold, warm = trained(*overrides, cache="off"), trained(*overrides), trained(*overrides)
    assert same(without, cold) and same(without, warm)
    assert without[2]["cache"] == {}
    assert (cold[2]["cache"]["hits"], cold[2]["cache"]["computed"]) == (0, computed)
    assert (warm[2]["cache"]["hits"], warm[2]["cache"]["computed"]) == (computed, 0)
    assert warm[2]["timing"]["cache"] > 0


def test_the_comparison_can_fail(trained):
    """Negative control: numbers kept in less than they were computed in."""
    assert not same(trained("policy=linear_probe", cache="off"), trained("policy=linear_probe", "cache.dtype=float16"))


def test_another_head_seed_and_split_read_the_same_entry(trained, monkeypatch):
    monkeypatch.setattr("tunesmith.cache.key.content_hash", lambda tensors: "the same")
    monkeypatch.setattr("tunesmith.cache.opener.TOLERANCE", 1e9)  # the tiny backbone's weights are drawn by the seed
    trained("policy=linear_probe")
    _, _, record = trained("policy=linear_probe", "head=mlp", "data.split.seed=4", "seed=2", "data.batch_size=16")
    assert (record["cache"]["hits"], record["cache"]["computed"]) == (240, 0)


def test_with_fewer_views_than_epochs_they_come_again(trained):
    """Negative control for views: the third epoch sees the first one's."""
    words = ["policy=linear_probe", "data.augment=light"]
    assert not same(trained(*words, cache="off"), trained(*words, "cache.views=2"))


def test_augmented_training_images_are_not_kept_unasked(trained):
    _, _, record = trained("policy=linear_probe", "data.augment=light")
    assert "cache.views=8" in record["cache"]["said"][0]
    assert "144 images" in record["cache"]["said"][1]  # validation and test


FEW = ["trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "trainer.max_epochs=1"]


@pytest.mark.parametrize("overrides", [["policy=full"], ["policy=linear_probe", *FEW]])
def test_nothing_is_kept_where_it_cannot_pay(trained, tmp_path, overrides):
    trained(*overrides)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_batchnorm_that_trains_in_front_of_the_cut_is_refused(trained, monkeypatch):
    """Negative control: a table that says too much is frozen."""
    monkeypatch.setattr(ParameterTable, "boundary", lambda self, epoch: 3)
    with pytest.raises(PolicyError, match="cache=off"):
        trained("policy=last_stages", "policy.stages=1")


def test_a_folder_that_cannot_be_written_changes_nothing(trained, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    words = ["policy=linear_probe", f"paths.cache={tmp_path / 'file'}"]
    assert same(trained("policy=linear_probe", cache="off"), trained(*words))


@pytest.mark.parametrize("word", ["cache.views=-1", "cache.max_gb=-2"])
def test_negative_numbers_are_refused(quick, word):
    with pytest.raises(ConfigError, match=r"cache\.\w+ to be 0 or more"):
        train(quick(word))
