"""A run's model as plain tensors: what is written loads again, here and in the libraries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from tunesmith.backbone.weights import OWN_HEAD, content_hash
from tunesmith.config.build import build
from tunesmith.config.compose import compose
from tunesmith.config.find import package_conf
from tunesmith.contract.features import Needs
from tunesmith.errors import RunError
from tunesmith.policy.adapter import merge
from tunesmith.policy.lora import LoRA
from tunesmith.run.assembly.assemble import assemble_data
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.export import export, plain_tensors
from tunesmith.run.train import train


def exported(run, output, *more):
    path = export(compose("export", [f"run={run}", f"output={output}", *more]))
    return load_file(path), json.loads(path.with_suffix(".json").read_text())


def put_together(tensors, about, folder):
    """Backbone and head, by what the two files say and nothing else."""
    backbone = build(OmegaConf.create({**about["backbone"], "weights": str(folder / about["backbone"]["weights"])}))
    widths = {"feature_dim": about["feature_dim"], "num_outputs": len(about["class_names"])}
    head = build(OmegaConf.create(about["head"]), **widths)
    head.load_state_dict({n.removeprefix(OWN_HEAD): t for n, t in tensors.items() if n.startswith(OWN_HEAD)})
    return backbone.eval(), head.eval()


@torch.no_grad()
def test_a_file_is_the_tested_model_to_the_bit(finished, tmp_path, capsys):
    tensors, about = exported(finished.folder, tmp_path / "model.safetensors")
    assert "20 tensors" in capsys.readouterr().out  # 18 of the backbone, two of the head
    found = rebuild(str(finished.folder))
    backbone, head = put_together(tensors, about, tmp_path)
    backbone.to(memory_format=torch.channels_last)  # as the task has it: another order of memory sums in another one
    image = torch.randn(3, 3, found.preprocess.size, found.preprocess.size, generator=torch.Generator().manual_seed(0))
    features, theirs = backbone(image), found.task.eval().backbone(image)
    assert torch.equal(features.pooled, theirs.pooled)
    assert torch.equal(head(features), found.task.head(theirs))
    assert len(backbone.weights.ignored) == 2 and backbone.weights.matched == 18
    assert about["class_names"] == list(found.spec.class_names) and about["weights"] == "best"
    assert about["preprocess"] == json.loads(json.dumps(found.record["data"]["preprocess"]))
    assert about["hash"] == content_hash(tensors)


def test_averages_and_adapters_give_what_the_run_tested(quick, tmp_path):
    words = ["policy=lora", "optimizer.lr=0.05", "callback=[quiet,ema]", "callback.ema.decay=0.5"]
    folder = train(quick(*words, samples=60)).folder
    tensors, about = exported(folder, tmp_path / "model.safetensors")
    backbone, head = put_together(tensors, about, tmp_path)
    assert not any("lora" in name or "base_layer" in name for name in tensors)
    raw, said = exported(folder, tmp_path / "raw.safetensors", "checkpoint=raw")
    assert said["weights"] == "raw" and said["hash"] != about["hash"] and raw.keys() == tensors.keys()
    found = rebuild(str(folder))
    data = assemble_data(found.cfg.data, found.preprocess)
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    with torch.no_grad():
        got = head(backbone(batch["input"])).softmax(1)
    recorded = pd.read_parquet(folder / "predictions.parquet").filter(like="p_").to_numpy()
    np.testing.assert_allclose(got.numpy(), recorded[: len(got)], atol=1e-5)


def test_a_file_begins_another_run(finished, quick, tmp_path):
    exported(finished.folder, tmp_path / "model.safetensors")
    words = ["data=digits", "policy=linear_probe", f"backbone.weights={tmp_path / 'model.safetensors'}"]
    folder = train(quick(*words, "trainer.max_epochs=1", "test=null")).folder
    before, after = rebuild(str(finished.folder)), rebuild(str(folder), "last")
    ours, theirs = (found.task.backbone.state_dict() for found in (before, after))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("setting", ["timm", "transformers"])
@torch.no_grad()
def test_the_librarys_own_model_takes_it(setting, small_text, tmp_path, random_input):
    """Adapters of random weights, so that merging changes every layer that they stand beside."""
    option = OmegaConf.load(package_conf() / "backbone" / f"{setting}.yaml")
    own = {"name": "test_convnext", "image_size": 32} if setting == "timm" else {"name": small_text("bert")}
    backbone = build(OmegaConf.merge(option, own, {"weights": None}))
    plain = {name: tensor.clone() for name, tensor in backbone.net.state_dict().items()}
    LoRA(rank=2).adapt(backbone)
    for name, parameter in backbone.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.1)
    x = random_input(backbone)
    needs = Needs(pooled=True, tokens=setting == "transformers")
    adapted = backbone.eval()(x, needs=needs)
    assert merge(backbone.net) > 2
    tensors = plain_tensors(backbone.net, torch.nn.Linear(4, 2))
    assert tensors.keys() == plain.keys() | {f"{OWN_HEAD}weight", f"{OWN_HEAD}bias"}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again = build(OmegaConf.merge(option, own, {"weights": str(tmp_path / "model.safetensors")})).eval()(x, needs=needs)
    assert torch.allclose(again.pooled, adapted.pooled, atol=1e-5)
    if setting == "timm":
        import timm

        net = timm.create_model("test_convnext", num_classes=0).eval()
        missed = net.load_state_dict(tensors, strict=False)
        assert not missed.missing_keys and all(name.startswith(OWN_HEAD) for name in missed.unexpected_keys)
        assert torch.allclose(net(x), adapted.pooled, atol=1e-5)
        return
    from transformers import AutoModel

    shutil.copy(Path(small_text("bert"), "config.json"), tmp_path)
    net = AutoModel.from_pretrained(tmp_path, local_files_only=True, add_pooling_layer=False).eval()
    assert torch.allclose(net(**x).last_hidden_state[0], adapted.tokens[0], atol=1e-5)


@pytest.mark.long
@torch.no_grad()
def test_a_file_of_every_family_loads_again(family, small_backbone, tmp_path, random_input):
    option, own = family
    path = tmp_path / "model.safetensors"
    save_file(plain_tensors(small_backbone.net, torch.nn.Linear(4, 2)), path)
    node = OmegaConf.load(package_conf() / "backbone" / f"{option}.yaml")
    again = build(OmegaConf.merge(node, own, {"weights": str(path)}))
    x = random_input(small_backbone)
    assert torch.equal(again.eval()(x).pooled, small_backbone.eval()(x).pooled)
    assert again.weights.missing == () and len(again.weights.ignored) == 2


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("model.pth", "to end in .safetensors but got"),
        ("nowhere/model.safetensors", "folder of output to be there but"),
        ("there.safetensors", "Expected no file at .*there.json but there is one"),
    ],
)
def test_where_it_cannot_be_written(output, sentence, tmp_path):
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(RunError, match=sentence):
        exported(tmp_path, tmp_path / output)
