"""Every backbone family under every usual policy: two steps, a checkpoint, the task put together again, a prediction.

A line in tests/families.yaml adds a family.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from PIL import Image

from tunesmith.config.build import build
from tunesmith.config.compose import compose
from tunesmith.config.find import package_conf
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.assembly.table import make_table
from tunesmith.run.predict import predict
from tunesmith.run.train import train

FROZEN_BUT = {"linear_probe": 0, "last_stages": 2}


@pytest.fixture(scope="module")
def composed(quick_below, tmp_path_factory, texts, tagged, questions):
    """The configuration of a run for each policy; composing them anew for every family would take half of the time."""
    words = ["data.batch_size=8", "optimizer.lr=0.01", "test=null", "trainer.max_epochs=1"]
    data = {"": ["data.classes=5"], "transformers": ["data=text_table", f"data.file={texts}"]}
    plain = [*data["transformers"], "data.target=tokens"]
    data |= {f"transformers/{task}": [*plain, f"task={task}"] for task in ("causal_lm", "masked_lm")}
    pairs = ["data=pair_table", f"data.file={texts}", "data.source=text", "data.target=text"]
    data["transformers/seq2seq"] = [*pairs, "task=seq2seq", "task.generate.max_new_tokens=3"]
    data["transformers/tags"] = ["data=token_table", f"data.file={tagged}", "task=tagging"]
    small = ["data.max_length=48", "data.stride=8", "data.max_question=8", "task.monitor=val/loss", "task.mode=min"]
    data["transformers/answers"] = ["data=qa_table", f"data.file={questions}", "task=question_answering", *small]
    return {
        policy + option: quick_below(
            tmp_path_factory.mktemp("logs"),
            *(*own, *words, "+trainer.limit_train_batches=2", f"policy={policy}"),
            samples=60,
        )
        for policy in ("linear_probe", "last_stages", "full")
        for option, own in data.items()
    }


@pytest.fixture(scope="module")
def predicting(tmp_path_factory):
    """The configuration of a prediction on two images."""
    folder = tmp_path_factory.mktemp("images")
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 50), colour).save(folder / f"{colour}.png")
    (folder / "texts.txt").write_text("the film is good\na very dull film\n")
    words = ["run=.", f"input={folder}/*.png", f"output={folder}/out.csv", "accelerator=cpu", "checkpoint=last"]
    return compose("predict", words)


def configured(composed, policy, family):
    option, overrides = family
    cfg = composed.get(policy + option, composed[policy])
    node = OmegaConf.load(package_conf() / "backbone" / f"{option.partition('/')[0]}.yaml")
    node.update({"weights": None} if "weights" in node else {})
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    cfg.backbone = OmegaConf.merge(node, overrides)
    kept = next(name for name in ("accuracy", "token_accuracy", "f1") if name in cfg.task.metrics)
    cfg.task.metrics = {kept: cfg.task.metrics[kept]}
    return cfg


LONG = pytest.mark.long
POLICIES = [pytest.param("linear_probe", marks=LONG), "last_stages", pytest.param("full", marks=LONG)]
"""Where the last stages train, what is frozen, what is cut and what learns all occur; the others repeat it."""


@pytest.mark.parametrize("policy", POLICIES)
def test_two_steps_a_checkpoint_and_a_prediction(family, policy, composed, predicting, monkeypatch):
    said = walk(family, policy, composed, predicting, monkeypatch)
    probabilities = said.filter(regex="^p_").to_numpy()
    assert probabilities.shape == (2, 5)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


WRITING = [("causal_lm", "gpt2"), ("masked_lm", "bert"), ("seq2seq", "t5"), ("causal_lm", "llama"), ("seq2seq", "bart")]


@pytest.mark.parametrize("policy", ["last_stages", pytest.param("full", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("task", "name"), [pytest.param(*pair, marks=[] if pair in WRITING[:1] else pytest.mark.long) for pair in WRITING]
)
def test_language_models_with_their_own_heads_too(task, name, policy, composed, predicting, monkeypatch, small_text):
    """Tied weights of the head are the embeddings', and frozen, trained, saved and brought back with them."""
    said = walk((f"transformers/{task}", {"name": small_text(name)}), policy, composed, predicting, monkeypatch)
    assert list(said.columns) == ["text", "written"] and len(said) == 2


@pytest.mark.parametrize("policy", ["linear_probe", "last_stages", "full"])
@pytest.mark.parametrize("option", ["tags", "answers"])
def test_an_output_a_token(option, policy, composed, predicting, monkeypatch, small_text, questions):
    family, source = (
        (f"transformers/{option}", {"name": small_text("bert")}),
        questions if option == "answers" else None,
    )
    said = walk(family, policy, composed, predicting, monkeypatch, source)
    assert said["row"].nunique() == (128 if source else 2)


def walk(family, policy, composed, predicting, monkeypatch, source=None):
    tasks, start = [], {}

    def keep(made, task):
        tasks.append(task)
        start.update({} if start else {name: tensor.clone() for name, tensor in task.state_dict().items()})
        return made

    monkeypatch.setattr("tunesmith.run.train.assemble", lambda *args: keep(made := assemble(*args), made.task))
    monkeypatch.setattr("tunesmith.run.predict.rebuild", lambda *args: keep(made := rebuild(*args), made.task))

    predicting.run = str(train(configured(composed, policy, family)).folder)
    folder = Path(predicting.output).parent
    predicting.input = str(source or folder / ("texts.txt" if family[0].startswith("transformers") else "*.png"))
    predict(predicting)

    trained, restored = tasks
    end = trained.state_dict()
    assert all(torch.equal(tensor, end[name]) for name, tensor in restored.state_dict().items())
    stages, frozen = trained.backbone.stages, trained.table.boundary(0)
    assert frozen == max(0, len(stages) - FROZEN_BUT.get(policy, len(stages)))
    changed = {name for name in end if not torch.equal(end[name], start[name])}
    kept = tuple(f"backbone.net.{member}" for stage in stages[:frozen] for member in stage.members)
    assert not [name for name in changed if any(name == k or name.startswith(f"{k}.") for k in kept)]
    trainable = trained.table.trainable(0)
    # A few may get no gradient: a bias in front of a normalisation, what ReLU cut off.
    assert len(changed & trainable) > 0.8 * len(trainable)
    return pd.read_csv(predicting.output)


def test_a_run_is_put_together_in_the_size_that_its_weights_had(composed, predicting, monkeypatch):
    """Without its weights a ViT would be built for another size, and its position embeddings would not fit."""
    library = torchvision.models.get_model("small_vit", weights=None)
    monkeypatch.setattr(torchvision.models.ViT_B_16_Weights, "get_state_dict", lambda *_, **__: library.state_dict())
    cfg = configured(composed, "linear_probe", ("torchvision", {"name": "small_vit"}))
    cfg.backbone.weights = "IMAGENET1K_SWAG_E2E_V1"  # for 384 pixels; the best are for 224
    predicting.run = str(train(cfg).folder)
    task = rebuild(predicting.run, "last").task
    assert task.backbone.preprocess.size == 384
    assert task.backbone.net.encoder.pos_embedding.shape[1] == 24**2 + 1


def test_selectors_find_norms_biases_and_bare_parameters(composed):
    """What policies and rates go by, in a network with attention."""
    cfg = configured(composed, "full", ("torchvision", {"name": "small_vit", "image_size": 32}))
    backbone = build(cfg.backbone)
    table = make_table(backbone, torch.nn.Linear(24, 2), build(cfg.policy), build(cfg.rates))
    found = {row.parameter.name.removeprefix("backbone.net."): row.parameter for row in table.rows}
    assert found["class_token"].stage == found["encoder.pos_embedding"].stage == "embedding"
    layer = "encoder.layers.encoder_layer_0"
    assert found[f"{layer}.self_attention.in_proj_bias"].bias and found[f"{layer}.mlp.0.bias"].bias
    assert not found[f"{layer}.self_attention.in_proj_weight"].bias
    assert found[f"{layer}.ln_1.weight"].norm and found["encoder.ln.bias"].norm
    assert found["encoder.ln.weight"].stage == "encoder_layer_2"
