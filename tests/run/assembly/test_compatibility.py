from __future__ import annotations

import logging
import re
from types import SimpleNamespace

import pytest
from torch import nn

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.assembly.compatibility import last_batch, of_backbone
from tunesmith.run.assembly.plan import Model
from tunesmith.run.train import train

WAY_OUT = "got a batch of one .* use data.drop_last=true, another data.batch_size or head.norm=layer"


@pytest.mark.parametrize("head", [["head=multi_stage"], ["head=mlp", "head.norm=batch"]])
def test_a_last_batch_of_one_is_refused_before_the_fit(head, quick, tmp_path):
    words = [*head, "policy=full", "data.augment=none", "data.split.val=0.2", "data.split.test=0.2"]
    sizes = assemble(quick(*words, samples=60), tmp_path, {}).data.counts()["train"]
    words += [f"data.batch_size={sum(sizes.values()) - 1}", "trainer.max_epochs=1"]
    with pytest.raises(ConfigError, match=WAY_OUT):
        train(quick(*words, samples=60))
    train(quick(*words, "data.drop_last=true", "test=null", samples=60))


@pytest.mark.parametrize(
    ("size", "batch", "refused", "more"),
    [
        (33, 32, True, {}),
        (33, 32, False, {"drop_last": True}),
        (34, 32, False, {}),
        (32, 32, False, {}),
        (65, 32, True, {"processes": 2}),  # 33 each, of which one comes twice
        (33, 32, False, {"processes": 2}),
        (33, 32, False, {"limit": 1}),
        (33, 32, False, {"limit": 0.5}),
        (33, 32, True, {"limit": 2}),
        (32, 1, True, {"drop_last": True}),
    ],
)
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_which_batches_are_of_one(size, batch, refused, more, norm):
    task = nn.ModuleDict({"head": nn.Sequential(nn.Linear(2, 2), norm(2))})
    rows = {"train": range(size)}
    what = SimpleNamespace(what="images")
    data = SimpleNamespace(indices=rows, batch_size=batch, drop_last=more.get("drop_last", False), table=what)
    trainer = SimpleNamespace(world_size=more.get("processes", 1), limit_train_batches=more.get("limit", 1.0))
    found = list(last_batch(task, data, trainer))
    assert len(found) == (refused and norm is nn.BatchNorm1d)
    assert all(re.search(WAY_OUT, sentence) for sentence in found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["data.sampler=balanced", "loss.class_weight=auto"], "data.sampler=balanced and loss.class_weight=auto"),
        (["data.sampler=balanced", "loss.logit_adjustment=1"], "data.sampler=balanced and loss.logit_adjustment=1"),
        (["data.sampler=balanced"], None),
        (["data.sampler=balanced", "loss.class_weight=[1,2,3]"], None),
        (["loss.class_weight=auto", "loss.logit_adjustment=1"], None),
    ],
)
def test_rare_classes_made_up_for_twice(options, said, quick, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assemble(quick(*options, samples=60), tmp_path, {})
    found = [record.getMessage() for record in caplog.records if "one correction" in record.getMessage()]
    assert len(found) == bool(said) and all(said in message for message in found)


@pytest.mark.parametrize(
    ("task", "model"), [("masked_lm", "gpt2"), ("causal_lm", "bert"), ("seq2seq", "bert"), ("causal_lm", "t5")]
)
def test_a_backbone_of_another_kind_is_refused_before_data_are_read(task, model, small_text):
    backbone = Transformers(small_text(model), weights=None)
    cfg = compose("train", [f"task={task}", "data=text_files", "data.file=nothing"])
    (sentence,) = of_backbone(Model.of(cfg), backbone)
    assert "for this task but got" in sentence
    assert not list(of_backbone(Model.of(compose("train", [])), backbone))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trainer.max_epochs=-1"], "say when training ends.*got neither"),
        (["trainer.max_epochs=null", "trainer.max_steps=-1"], "say when training ends"),
        (["trainer.max_epochs=-2"], "can be built with but got an error: .max_epochs. must be"),
        (["trainer.precision=7"], "can be built with but got an error: Precision 7"),
    ],
)
def test_a_trainer_that_cannot_be_is_a_sentence(words, says, quick, tmp_path):
    with pytest.raises(ConfigError, match=says):
        assemble(quick(*words), tmp_path, {})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (  # by the configuration alone: the backbone is never built
            ["trainer.micro_batch_size=7", "+trainer.strategy=deepspeed", "task=joint", "backbone.weights=nowhere"],
            ["got deepspeed", "divide data.batch_size=32", "texts without labels for task.lm_loss_weight"],
        ),
        (  # with everything built
            [
                *("head=ridge", "policy=full", "callback=[quiet,ema,early_stopping]", "data.augment=none"),
                *("data.split.val=0", "trainer.micro_batch_size=8"),
            ],
            ["split for early stopping", "head alone", "no averaging of weights", "micro_batch_size=null"],
        ),
    ],
)
def test_all_mistakes_of_a_point_are_shown_together(words, says, quick, tmp_path):
    with pytest.raises(ConfigError) as caught:
        assemble(quick(*words, samples=60), tmp_path, {})
    assert len(caught.value.mistakes) == len(says)
    assert all(part in sentence for part, sentence in zip(says, caught.value.mistakes, strict=True))
