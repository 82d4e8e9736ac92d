"""Wrong configurations, broken tables and broken files: each is answered by one sentence before anything trains.

`test_main.py` has those that are found without building anything; these need the data, the weights or the model.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.errors import TunesmithError
from tunesmith.run.train import train

FINE = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(24))
"""A table that holds: 24 images of two classes."""

TEXTS = "data=text_table data.file=table.csv backbone=transformers"
TABLE = "data=image_table data.file=table.csv"
VALUES = f"{TABLE} data.target=value task=regression loss=mse"

CONFIGURATIONS = [
    ("backbone=torchvision backbone.name=resnet51", "Did you mean 'resnet50'"),
    ("backbone=torchvision backbone.name=fcn_resnet50", "Expected backbone.name to be"),
    ("backbone=torchvision backbone.weights=IMAGENET1K_V9", "IMAGENET1K_V9"),
    ("backbone=torchvision backbone.weights=null backbone.in_channels=0", "in_channels"),
    ("backbone=torchvision backbone.name=inception_v3 backbone.weights=null backbone.image_size=32", "75"),
    ("backbone=torchvision backbone.name=vit_b_16 backbone.weights=null backbone.image_size=50", "16"),
    ("backbone=timm backbone.name=resnett50", "Did you mean 'resnet50'"),
    ("backbone=timm backbone.weights=none.pth", "none.pth"),
    ("backbone=timm backbone.weights=package:lite9", "lite9"),
    ("backbone=timm backbone.weights=null backbone.drop_path_rate=1", "Expected backbone.drop_path_rate"),
    ("backbone.image_size=0", "Expected backbone.image_size"),
    ("backbone.weights=empty.pth", "empty.pth"),
    ("backbone.weights=pickled.pth", "pickled.pth"),
    ("backbone.weights=surplus.pth", "Expected the tensors in 'surplus.pth' to match the backbone"),
    ("policy.phases=[]", "Expected policy.phases to hold at least one phase but got none."),
    ("policy=last_stages policy.stages=0", "Expected policy.stages to be at least 1 but got 0"),
    (
        "policy=linear_probe policy.stages=2",
        "but got policy.stages=2 and none that does; leave it out, or choose a policy",
    ),
    ("policy=last_stages policy.stages=9", "Expected 'stage: -9:' to lie within the 3 stages"),
    ("policy.phases=[{train:[hed]}]", "Did you mean 'head'?"),
    ("policy.phases=[{train:[re:lyer]}]", "Expected the selector 're: lyer' to match a parameter but got none."),
    ("policy.phases=[{train:['re:(']}]", "Expected a regular expression after 're:'"),
    ("policy.phases=[{train:[head],epochs:0},{train:[all]}]", "Expected policy.phases[0].epochs to be a whole number"),
    ("policy.phases=[{train:[head],epochs:1}]", "Expected the last phase to have no 'epochs' but got 1"),
    ("policy=plateau policy.patience=0", "patience to be null or a whole number of at least 1 but got 0"),
    ("policy=lp_ft policy.patience=2 data.split.val=0", "Expected a validation split for a policy that waits"),
    ("policy.phases=[{train:[head],patience:2}]", "Expected the last phase to have no 'patience'"),
    ("trainer=ddp trainer.strategy=fsdp", "Expected trainer.strategy to be auto or ddp"),
    ("callback=[default,l2_sp]", "Expected optimizer.weight_decay=0 with callback.l2_sp"),
    ("callback=[default,l2_sp] callback.l2_sp.alpha=-1", "callback.l2_sp.alpha to be 0 or more but got -1"),
    ("rates=layer_decay rates.decay=1", "Expected rates.decay to be below 1 but got 1"),
    ("rates=layer_decay rates.decay=1.5", "Expected rates.decay to be between 0 and 1 but got 1.5."),
    ("rates=head_multiplier rates.multiplier=0", "Expected rates.multiplier to be a finite number above 0 but got 0"),
    ("head.dropout=1", "Expected head.dropout to be from 0 to below 1 but got 1"),
    ("head=mlp head.hidden=[]", "Expected head.hidden to list widths of at least 1 but got []"),
    ("head=cosine head.scale=0", "head.scale"),
    ("head=attention_pool head.heads=7", "head.heads"),
    ("head=ridge", "policy=linear_probe"),
    ("head=ridge policy=linear_probe head.alpha=-1", "head.alpha"),
    ("head=logistic policy=linear_probe callback=[quiet,ema]", "leave callback=ema out"),
    ("init_from=nowhere", "Expected a run folder with a run.json but got nowhere"),
    ("debug=lr_find trainer.max_steps=5", "Expected trainer.max_steps to be at least 20 but got 5."),
    ("debug=lr_find head=ridge policy=linear_probe", "for debug=lr_find but got one that is fitted"),
    ("test=raw", "add callback=[default,ema]"),
    ("test=greedy_soup", "Expected the best epochs to be kept for test=greedy_soup but got none"),
    ("test=wise_ft policy=linear_probe", "Expected a policy that trains weights of the backbone itself"),
    ("test=wise_ft policy=lora", "or adapters; use policy=full, say."),
    (
        "test=wise_ft data.split.val=0",
        "Expected a validation split to choose weights by for test=wise_ft",
    ),
    ("callback=[quiet,soup] callback.soup.save_top_k=1", "Expected callback.soup.save_top_k to be at least 2"),
    ("task.monitor=val/acuracy", "Did you mean 'val/accuracy'"),
    ("task.mode=min", "Expected task.mode=max with task.monitor=val/accuracy but got min."),
    ("task=regression loss=mse", "choose another task"),
    ("loss=mse", "loss"),
    ("task.threshold=f1", "Expected two classes for task.threshold=f1 but got 3."),
    ("loss.class_weight=[1,2]", "Expected"),
    ("data.split.val=0.6 data.split.test=0.5", "Expected split.val and split.test"),
    ("data.split.by=group", "Expected the data to have groups but they have none"),
    ("data.split.by=folder", "use data.split.by=stratified"),
    ("data.split.folds=1", "Expected data.split.folds from 2 to 600"),
    ("data.split.folds=5 data.split.fold=5", "Expected data.split.fold from 0 to 4 but got 5."),
    ("data.split.shots=1000", "for data.split.shots but got"),
    ("data.batch_size=0", "Expected batch_size to be at least 1 but got 0."),
    ("data.drop_last=true data.batch_size=512", "Expected at least one full batch of 512"),
    ("data.mixup=-1", "Expected data.mixup, data.cutmix and data.mix_off_epochs to be at least 0"),
    (
        "data.split.val=0 callback=[quiet,early_stopping]",
        "Expected a validation split for early stopping but got none.",
    ),
    ("data.split.val=0 scheduler=reduce_on_plateau", "Expected a validation split for a schedule that waits"),
    ("data=cifar10 data.root=.", "use data.download=true"),
    ("data=torchvision_dataset data.name=CIFAR11", "Did you mean 'CIFAR10'"),
    ("data=solar_cells data.root=nowhere", "nowhere"),
    ("data=image_folder data.root=nowhere", "nowhere"),
    (
        "data=text_table data.file=0.csv",
        "Expected a backbone for texts but got one for images; use backbone=transform",
    ),
    ("backbone=transformers", "Expected a backbone for images but got one for texts; use backbone=timm, for example."),
    (f"{TEXTS} data.file=nowhere.csv", "Expected data.file to be a table but there is no file nowhere.csv."),
    (f"{TEXTS} backbone.name=package:minlm", "Did you mean 'minilm'"),
    (f"{TEXTS} backbone.name=./nowhere", "there is no nowhere/config.json"),
    (f"{TEXTS} backbone.pooling=max", "backbone.pooling"),
    (f"{TEXTS} data.max_length=0", "Expected data.max_length to be at least 1 token but got 0."),
    ("data=image_folder data.root=one_class", "Expected a folder per class in one_class but got a."),
]

TABLES = [
    (
        "data=image_table data.file=table.txt",
        "",
        "Expected data.file to end in .csv, .parquet or .jsonl but got table.txt.",
    ),
    ("data=image_table data.file=other.csv", "", "Expected data.file to be a table but there is no file other.csv."),
    (TABLE, "", "Expected a table in table.csv but it cannot be read"),
    (TABLE, "path,label\n", "Expected at least one row in table.csv but got none."),
    (TABLE, f"paht,label\n{FINE}", "Expected a column 'path' in table.csv but there is none. Did you mean 'paht'?"),
    (TABLE, f"path,lable\n{FINE}", "Expected a column 'label' in table.csv but there is none. Did you mean 'lable'?"),
    (TABLE, f"path,label\n{FINE}x.png,a\n", "1 of 25 are missing, first x.png"),
    (TABLE, f"path,label\n{FINE},a\n", "Expected a path in column 'path' of table.csv but row 25 has an empty cell."),
    (TABLE, f"path,label\n{FINE}24.png,\n", "Expected a class in column 'label' of table.csv but row 25 has an empty"),
    (TABLE, f"path,label\n{FINE}0.png,a\n", "Expected every image once in table.csv but got 0.png 2 times."),
    (TABLE, "path,label\n0.png,a\n1.png,a\n", "Expected at least two classes but got a."),
    (f"{TABLE} data.classes=[a,c]", f"path,label\n{FINE}", "to hold only data.classes but row 2 has 'b'."),
    (f"{TABLE} data.classes=[a,b,c]", f"path,label\n{FINE}", "Expected samples of every class in data.classes but"),
    (TABLE, f"path,label,split\n{FINE.replace('a', 'a,trian').replace('b', 'b,test')}", "Did you mean 'train'?"),
    (TABLE, f"path,label,split\n{FINE.replace('a', 'a,train').replace('b', 'b,test')}", "but got 0 of class 'b'"),
    (f"{TABLE} data.group=who data.split.by=group", f"path,label\n{FINE}", "Expected a column 'who' in table.csv"),
    (TABLE, f"path,label,weight\n{FINE.replace('a', 'a,-1').replace('b', 'b,1')}", "Expected a number of at least 0"),
    (VALUES, f"path,label\n{FINE}", "Expected a number in column 'label' of table.csv but row 1 has 'a'."),
    (VALUES, f"path,label\n{FINE.replace('a', 'nan').replace('b', '1')}", "Expected a number in column 'label'"),
    (VALUES, f"path,label\n{FINE.replace('a', '1').replace('b', '1')}", "Expected 'label' to vary over"),
    (
        f"{TABLE} data.target=ordinal task=ordinal loss=ordinal",
        f"path,label\n{FINE}",
        "words have no order of their own",
    ),
    (f"{TABLE} data.target=multilabel data.labels=[label]", f"path,label\n{FINE}", "Expected 0 or 1 in column 'label'"),
    (
        f"{TABLE} data.target=multilabel",
        f"path,label\n{FINE.replace('a', '0').replace('b', '1')}",
        "two labels but got label",
    ),
    (TEXTS, f"path,label\n{FINE}", "Expected a column 'text' in table.csv but there is none."),
    (TEXTS, f"text,label\n{FINE},a\n", "Expected a text in column 'text' of table.csv but row 25 has an empty cell."),
    (TEXTS, "text,label\na,a\nb\udcff,b\n", "Expected table.csv to be text in UTF-8 but line 3 is not; save it as"),
    (f"{TEXTS} data.classes=[a,c]", f"text,label\n{FINE}", "to hold only data.classes but row 2 has 'b'."),
    (TEXTS, f"text,label\n{FINE}{'x' * 10**7},a\n", "Expected texts of at most 1,000,000 characters in column 'text'"),
    (f"{TABLE} data.labels=[path,label]", f"path,label\n{FINE}", "Expected a number in column 'path'"),
]

FILES = [
    ("empty.png", b""),
    ("text.png", b"this is no image"),
    ("page.jpg", b"<!doctype html><html></html>"),
    ("vector.png", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>"),
    ("half.png", "half"),
    ("flipped.png", "flipped"),
    ("bomb.png", "bomb"),
    ("float.tif", "float"),
    ("folder.png", "folder"),
    ("icon.png", b"\x00\x00\x01\x00\x01\x00"),
]


def sentence(*overrides: str) -> str:
    """What a run says before it gives up, whether it is found when checking or when building."""
    with pytest.raises(TunesmithError) as caught:
        cfg = compose("train", [*overrides, "logger=none", "trainer.accelerator=cpu", "trainer.max_epochs=1"])
        check(cfg)
        train(cfg)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images images, some weights that are no good, and a class without another."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(25):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(f"{i}.png")
    (tmp_path / "one_class" / "a").mkdir(parents=True)
    Image.open("0.png").save("one_class/a/0.png")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "pickled.pth").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    torch.save({"surplus.weight": torch.zeros(1)}, "surplus.pth")
    return tmp_path


def quiet(line: str) -> list[str]:
    return [*line.split(" "), *([] if "callback=" in line else ["callback=quiet"])]


@pytest.mark.parametrize(("line", "expected"), CONFIGURATIONS, ids=[line for line, _ in CONFIGURATIONS])
def test_a_wrong_configuration(line, expected, folder):
    said = sentence(*quiet(line))
    assert said.startswith("Expected") and expected in said and "\n" not in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(("line", "table", "expected"), TABLES, ids=[expected for _, _, expected in TABLES])
def test_a_broken_table(line, table, expected, folder):
    (folder / "table.csv").write_bytes(table.encode(errors="surrogateescape"))
    said = sentence(*quiet(line))
    assert said.startswith("Expected") and expected in said and "\n" not in said


def damaged(kind: str, folder) -> bytes:
    whole = (folder / "0.png").read_bytes()
    if kind == "half":
        return whole[: len(whole) // 2]
    if kind == "flipped":
        return whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:]
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    checksum = zlib.crc32(b"IHDR" + header)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", checksum)


@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _ in FILES])
def test_a_broken_file_is_named(name, content, folder):
    bad = folder / name
    if content == "folder":
        bad.mkdir()
    elif content == "float":
        Image.fromarray(np.zeros((16, 16), dtype=np.float32)).save(bad)
    else:
        bad.write_bytes(content if isinstance(content, bytes) else damaged(content, folder))
    (folder / "table.csv").write_text(f"path,label\n{FINE}{name},a\n")
    said = sentence(*quiet(f"{TABLE} data.split.val=0 data.split.test=0"))
    assert said.startswith("Expected") and name in said and "\n" not in said


def test_the_table_is_long_enough():
    assert len(CONFIGURATIONS) + len(TABLES) + len(FILES) >= 60


def test_what_holds_is_not_refused(folder):
    """The negative control: the same folder with nothing wrong in it."""
    (folder / "table.csv").write_text(f"path,label\n{FINE}")
    cfg = compose("train", [*quiet(TABLE), "logger=none", "trainer.accelerator=cpu", "trainer.max_epochs=1"])
    check(cfg)
    assert "val/loss" in train(cfg).metrics
