from __future__ import annotations

import importlib
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tunesmith.backbone import base as backbone
from tunesmith.cache import key
from tunesmith.cache.frozen import Cut, Frozen
from tunesmith.contract.features import Needs
from tunesmith.data.image.decode import Decode
from tunesmith.modality.text import TextPreprocess
from tunesmith.target.base import kinds
from tunesmith.task.base import Task

ROWS = np.arange(60)
PROBE = Cut(3, False, Needs(pooled=True))


@pytest.fixture
def describe(assembled):
    def make(*overrides, cut=PROBE, rows=ROWS, precision="32-true", dtype="exact", view=None, change=None):
        torch.manual_seed(0)  # the tiny backbone's weights are drawn
        parts = assembled(*overrides)
        if change:
            change(parts)
        frozen = Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)
        return json.dumps(key.of_activations(frozen, cut, parts.data, rows, precision, dtype, view), sort_keys=True)

    return make


def one_byte(parts):
    parts.data.digests[0].array[17, 5] ^= 1


def one_weight(parts):
    parts.task.backbone.net.stage3[1].running_var[3] += 1e-6


def one_layer(parts):
    parts.task.backbone.net.stage2[2].negative_slope = 0.1
    parts.task.backbone.net.stage2[2].extra_repr = lambda: "negative_slope=0.1"


def one_setting(parts):
    parts.task.backbone.net.stage2[2].scale = 0.5  # which its text does not show


@pytest.mark.parametrize(
    "change",
    [
        {"change": one_setting},
        {"change": one_byte},
        {"change": one_weight},
        {"change": one_layer},
        {"overrides": ["backbone.image_size=24"]},
        {"overrides": ["task.channels_last=false"]},
        {"overrides": ["data.noise=0.2"]},
        {"cut": Cut(3, True, Needs())},
        {"cut": Cut(2, True, Needs())},
        {"cut": Cut(3, False, Needs(pooled=True, stage_features=True))},
        {"rows": ROWS[:-1]},
        {"rows": ROWS[::-1]},
        {"precision": "bf16-mixed"},
        {"dtype": "float16"},
        {"overrides": ["data.augment=light"], "view": 0},
    ],
)
def test_any_change_is_another_entry(describe, change):
    overrides = change.pop("overrides", [])
    assert describe(*overrides, **change) != describe()


PARTS = {
    *("format", "kept", "backbone", "structure", "source", "weights", "cut", "data", "images", "rows", "channels"),
    *("preprocess", "view", "precision", "device", "memory_format", "versions"),
}


def test_all_that_it_says(describe):
    said = json.loads(describe())
    assert said.keys() == PARTS
    assert (said["kept"], said["rows"], said["channels"], said["view"]) == ("features", 60, 3, None)
    assert said["precision"] == ["32-true", "exact", torch.get_float32_matmul_precision()]
    assert (said["device"], said["data"]) == ("cpu", "Synthetic")
    assert said["versions"].keys() == {"tunesmith", "torch", "torchvision", "pillow"}
    assert json.loads(describe(cut=Cut(2, True, Needs())))["kept"] == "activations after stage2"


def test_kernels_of_another_precision_or_device_are_another_entry(describe, monkeypatch):
    before, precision = describe(), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert describe() != before
    finally:
        torch.set_float32_matmul_precision(precision)
    assert describe() == before
    with monkeypatch.context() as patched:
        patched.setattr(Task, "device", torch.device("cuda", 1))
        assert json.loads(describe())["device"] == "cuda"
    assert describe() == before


@pytest.mark.parametrize("target", kinds())
def test_what_is_learnt_of_texts_themselves_is_read_otherwise(target, describe):
    def aimed(parts):
        parts.data.spec = replace(parts.data.spec, target=target)

    said = json.loads(describe(change=aimed))
    assert said.get("target") == (target if target in ("text", "tokens") else None)


DECODER = {"size": 8, "channels": 1}


def of_images(digests=(b"a", b"b", b"c"), rows=(0, 1), **decoder):
    data = SimpleNamespace(digests=(digests, True))
    return key.of_images(data, np.array(rows), Decode(**DECODER | decoder))


def test_decoded_images_depend_on_their_content_and_on_how_they_are_decoded():
    said = of_images()
    assert said.keys() == {"format", "kept", "source", "data", "images", "rows", "decoder", "versions"}
    assert (said["kept"], said["rows"]) == ("decoded images of 8 px", 2)
    assert said["versions"].keys() == {"tunesmith", "torch", "pillow"} and said["source"] == key._sources([Decode])
    assert of_images((b"a", b"b", b"x")) == said  # which is not among the rows
    others = [{"digests": (b"x", b"b")}, {"rows": (1, 0)}, {"rows": (0, 1, 2)}]
    others += [{"size": 9}, {"channels": 3}, {"interpolation": "bicubic"}, {"margin": True}]
    for other in others:
        assert of_images(**other) != said, other


def of_tokens(texts=(("a",), ("b", "c")), how="cut", **changed):
    told = {"tokenizer": "bert", "folder": "/one", "digest": "x", "max_length": 8, "vocabulary": 9} | changed
    return key.of_tokens(SimpleNamespace(preprocess=TextPreprocess(**told)), how, texts)


def test_tokens_depend_on_texts_and_tokenizer_and_on_what_is_asked_but_not_on_where_its_files_lie():
    said = of_tokens()
    assert said.keys() == {
        *("format", "kept", "backbone", "data", "rows", "texts", "how", "source", "preprocess", "versions")
    }
    assert (said["kept"], said["data"], said["rows"], said["backbone"]) == ("tokens", "texts", 2, "bert")
    assert {"tunesmith", "transformers", "tokenizers"} <= said["versions"].keys()
    assert of_tokens(folder="/two") == said
    others = [{"texts": (("a",), ("b", "d"))}, {"texts": (("a",), ("bc",))}, {"texts": (("b", "c"), ("a",))}]
    others += [{"how": "whole"}, {"digest": "y"}, {"max_length": 9}, {"vocabulary": 10}, {"attention": "causal"}]
    for other in others:
        assert of_tokens(**other) != said, other


def test_views_differ_by_epoch_seed_and_augmentation(describe):
    augmented = ["data.augment=light"]
    ways = [
        describe(*augmented, view=0),
        describe(*augmented, view=1),
        describe(*augmented, "data.seed=1", view=0),
        describe("data.augment=rotations", view=0),
    ]
    assert len(set(ways)) == 4


def test_views_in_turn_are_shared_by_all_seeds(describe):
    turn = ["data.augment=symmetries_in_turn"]
    assert describe(*turn, "data.seed=1", view=0) == describe(*turn, view=0) != describe(*turn, view=1)
    assert describe("data.augment=flips_in_turn", view=0) != describe(*turn, view=0)


def test_what_a_view_draws_depends_on_the_places_in_the_table(describe):
    """The same images in other rows are augmented otherwise."""
    data = SimpleNamespace(seed=0, augmentation=lambda: SimpleNamespace(seeded=True))
    assert key._view(data, np.array([1, 2]), 0) != key._view(data, np.array([2, 3]), 0)


@pytest.mark.parametrize(
    "change", [["seed=5"], ["data.split.seed=3"], ["head=mlp"], ["optimizer.lr=1"], ["data.batch_size=8"]]
)
def test_another_run_on_the_same_images_shares_the_entry(describe, change, monkeypatch):
    """The weights of the tiny backbone are drawn anew for each run; here they are the same."""
    monkeypatch.setattr(key, "content_hash", lambda tensors: "the same")
    assert describe(*change) == describe()


def test_versions_are_part_of_it(describe, monkeypatch):
    before = describe()
    monkeypatch.setattr(key, "version", lambda name: "9.9")
    assert describe() != before


def test_the_users_own_code_is_part_of_it(describe, monkeypatch, tmp_path):
    """An edit that no name, tensor or repr shows: of a part, of what it extends, and of the backbone around it."""
    base, own = tmp_path / "own_base.py", tmp_path / "own_net.py"
    base.write_text("from torch import nn\nclass Base(nn.Module):\n    pass\n")
    own.write_text("from own_base import Base\nclass Double(Base):\n    def forward(self, x):\n        return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("own_net")

    def extended(parts):
        parts.task.backbone.net.stage2.append(module.Double())

    before = describe(change=extended)
    assert describe(change=extended) == before
    own.write_text(own.read_text().replace("2 * x", "3 * x"))
    edited = describe(change=extended)
    base.write_text(base.read_text() + "    extra = 1\n")
    assert len({before, edited, describe(change=extended)}) == 3
    cut = [describe(change=extended, cut=Cut(1, True, Needs())) for _ in range(2)]
    base.write_text("")
    assert cut == [describe(change=extended, cut=Cut(1, True, Needs()))] * 2  # behind the cut


def test_the_backbones_own_file_is_part_of_it(assembled):
    parts = assembled()
    frozen = Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)
    assert {type(parts.task.backbone), backbone.Backbone} <= frozen.classes(3)


def test_of_large_files_the_time_of_change_counts(tmp_path):
    file = tmp_path / "x.jpg"
    file.write_bytes(b"x")
    head, whole = (SimpleNamespace(digests=([b"a"], w), table=SimpleNamespace(samples=[file])) for w in (False, True))
    before = [key._images(data, np.array([0])) for data in (head, whole)]
    os.utime(file, (1, 1))
    after = [key._images(data, np.array([0])) for data in (head, whole)]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True]
