"""For every backbone family, a run with the cache gives the bits of a run without.

A line in tests/families.yaml adds a family. Batches are whole: see `frozen.BATCH`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from tunesmith.config.find import package_conf
from tunesmith.run.evaluation import plot
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train

PHASES = "[{train: [head], epochs: 2}, {train: [head, 'stage: -1:'], epochs: 2}, {train: [all]}]"
POLICIES = {
    "probe": ["policy=linear_probe", "trainer.max_epochs=2"],
    "last": ["policy=last_stages", "policy.stages=1", "trainer.max_epochs=2"],
    "gradual": [f"policy.phases={PHASES}", "trainer.max_epochs=5"],
}
LISTED = yaml.safe_load((Path(__file__).parents[1] / "families.yaml").read_text())


TAGS, ANSWERS = "transformers/tags", "transformers/answers"
"""No families of their own: an encoder with an output a token. So too for the next two."""

TEXTS, PAIRS = "transformers/causal_lm", "transformers/seq2seq"


@pytest.fixture(scope="module")
def composed(quick_below, tmp_path_factory, texts, tagged, questions):
    """The configuration for each policy, composed once: two steps an epoch, 64, 32 and 32 images, or texts.

    All texts have as many tokens: padded to another length they are computed to other last bits.
    """
    words, logs = ["data.split.val=0.25", "data.split.test=0.25", "test=last"], tmp_path_factory.mktemp("logs")
    data = {"": ["data.augment=none"], "transformers": ["data=text_table", f"data.file={texts}"]}
    data[TEXTS] = ["data=text_table", f"data.file={texts}", "data.target=tokens", "task=causal_lm"]
    pairs = ["data.source=text", "data.target=text", "task.generate={samples: 8, max_new_tokens: 4, num_beams: 1}"]
    data[PAIRS] = ["data=pair_table", f"data.file={texts}", *pairs, "task=seq2seq"]
    data[TAGS] = ["data=token_table", f"data.file={tagged}", "task=tagging"]
    small = ["data.max_length=48", "data.stride=8", "data.max_question=8", "task.monitor=val/loss", "task.mode=min"]
    data[ANSWERS] = ["data=qa_table", f"data.file={questions}", "task=question_answering", *small]
    return {
        policy + option: quick_below(logs, *own, *words, *more, samples=128)
        for policy, more in POLICIES.items()
        for option, own in data.items()
        if option not in (TEXTS, PAIRS) or policy == "last"  # others train the head alone, which has no weights there
    }


@pytest.fixture
def trained(composed, monkeypatch, tmp_path, everything_pays):
    monkeypatch.setattr(plot, "draw_all", lambda *_: [])

    def make(policy, option, overrides, cache):
        node = OmegaConf.load(package_conf() / "backbone" / f"{option.partition('/')[0]}.yaml")
        node.update({"weights": None} if "weights" in node else {})
        cfg = composed.get(policy + option, composed[policy]).copy()
        OmegaConf.set_struct(cfg, False)
        cfg.backbone = OmegaConf.merge(node, overrides)
        kept = next(name for name in ("accuracy", "token_accuracy", "f1") if name in cfg.task.metrics)
        cfg.task.metrics = {kept: cfg.task.metrics[kept]}
        cfg.cache.mode, cfg.paths.cache = cache, str(tmp_path / "cache")
        result = train(cfg)
        metrics = {name: value for name, value in result.metrics.items() if "per_second" not in name}
        record = json.loads((result.folder / "run.json").read_text())
        return load(result.folder / "checkpoints" / "last.ckpt")["state_dict"], metrics, record["cache"]

    return make


@pytest.mark.parametrize("option", [TAGS, ANSWERS])
def test_an_output_a_token(trained, option):
    compare(trained, "last", option, LISTED["transformers/bert"])


@pytest.mark.parametrize(
    ("option", "name"),
    [
        pytest.param(TEXTS, "gpt2", marks=pytest.mark.long),
        (PAIRS, "t5"),
        pytest.param(PAIRS, "bart", marks=pytest.mark.long),
    ],
)
def test_texts_that_are_written(trained, option, name):
    compare(trained, "last", option, LISTED[f"transformers/{name}"])


def compare(trained, policy, option, overrides):
    without, _, nothing = trained(policy, option, overrides, "off")
    kept, metrics, first = trained(policy, option, overrides, "auto")
    assert not nothing and first["computed"] >= 128
    assert [name for name in without if not torch.equal(without[name], kept[name])] == []
    _, again, second = trained(policy, option, overrides, "read_only")
    assert again == metrics and (second["hits"], second["computed"]) == (first["computed"] + first["hits"], 0)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *[("timm/efficientnet_lite0", "last"), ("torchvision/vit", "last"), ("timm/swin", "probe")],
        ("transformers/bert", "last"),
    ],
)
def test_a_few_families(trained, name, policy):
    compare(trained, policy, name.partition("/")[0], LISTED[name])


@pytest.mark.long
@pytest.mark.parametrize("policy", POLICIES)
def test_every_family(trained, family, policy):
    compare(trained, policy, *family)
