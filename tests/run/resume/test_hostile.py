"""A run folder from a stranger: nothing that it names is imported, nothing in it is run; a canary file would tell."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from tunesmith import __main__ as program
from tunesmith.backbone.sources import read_file
from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.config.gate import VARIABLE
from tunesmith.errors import ConfigError, RunError, WeightsError
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.record.record import Run
from tunesmith.run.resume.checkpoint import CheckpointIO, load

sys.path.append(str(Path(__file__).parents[2] / "config"))
from hostile_targets import HOSTILE

sys.path.pop()
CODE = "open('canary', 'w').close()"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run folder with modules beside it, and the present folder: somebody has unpacked it and gone into it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for name in ("evil_here.py", "hydra_plugins/evil.py", "conf/evil_conf.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{CODE}\nclass Thing: ...\n")
    (tmp_path / "input.png").touch()
    (tmp_path / "checkpoints").mkdir()
    record = {
        "schema": 1,
        "id": "x",
        "status": "failed",
        "data": {"x": 1},
        "packages": {},
        "hardware": {},
        "updated": "x",
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    write(tmp_path, {})
    yield tmp_path
    assert not (tmp_path / "canary").exists()
    assert "evil_here" not in sys.modules


@cache
def shipped():
    cfg = compose("train")
    OmegaConf.set_struct(cfg, False)
    return cfg


def write(folder, changes):
    cfg = shipped().copy()
    cfg.paths.run = str(folder)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.merge(cfg, changes)))


EVIL = {"_target_": "evil_here.Thing"}
CHANGES = {
    "name": "evil_here.Thing",
    "backbone": EVIL,
    "data": {"split": EVIL},
    "policy": {"phases": [{"train": ["all"], "optimizer": EVIL}]},
    "head": {"_args_": [EVIL]},
    "optimizer": {**EVIL, "_partial_": True},
    "loss": {"_target_": "${name}"},
    "scheduler": "${oc.create:{_target_: evil_here.Thing}}",
    "task": {"_target_": "tunesmith.run.record.record.os.mkdir"},
    "callback": {"x": {"_target_": "os.mkdir", "path": "canary"}},
    "logger": {"x": {"_target_": "torch.load", "f": "evil.pt", "weights_only": False}},
}
COMMANDS = {
    "evaluate": ["evaluate", "run=."],
    "predict": ["predict", "run=.", "input=input.png"],
    "resume": ["train", "resume=."],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recorded_configuration_runs_nothing(command, folder, capsys):
    write(folder, CHANGES)
    assert program.command_line(COMMANDS[command]) == 2
    said = capsys.readouterr().err
    for group in CHANGES.keys() - {"name"}:
        assert re.search(rf"Expected {group}[.\w]*\._target_ to be a class that tunesmith knows but got", said), group


@pytest.mark.parametrize("command", [*COMMANDS, "reproduce"])
def test_each_hostile_target_of_a_recorded_configuration_is_refused(command, folder, capsys):
    assert len(HOSTILE) >= 60
    nodes = {f"h{i}": {"_target_": name, "_args_": arguments} for i, (name, arguments) in enumerate(HOSTILE)}
    write(folder, {"callback": nodes})
    if command == "reproduce":
        record = json.loads((folder / "run.json").read_text()) | {"status": "completed"}
        record |= {"packages": {"x": "1"}, **{name: {"x": 1} for name in ("hardware", "weights", "metrics")}}
        (folder / "run.json").write_text(json.dumps(record))
    assert program.command_line(COMMANDS.get(command, [command, "run=."])) == 2
    said = capsys.readouterr().err

    assert [key for key in nodes if f"callback.{key}._target_" not in said] == []


def test_what_a_checkpoint_names_is_data(folder):
    nodes = [{"_target_": name, "_args_": arguments} for name, arguments in HOSTILE]
    content = {"state_dict": {}, "hyper_parameters": nodes, "callbacks": nodes, "global_step": 0, "epoch": 0}
    CheckpointIO().save_checkpoint(content, folder / "checkpoints" / "best.ckpt")
    assert load(folder / "checkpoints" / "best.ckpt")["hyper_parameters"] == nodes


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recorded_configuration_is_bounded(command, folder, capsys):
    (folder / "config.yaml").write_text("a: &a [x]\n" + "b: *a\n" * 17)
    assert program.command_line(COMMANDS[command]) == 2
    assert "at most 16 aliases" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_what_lies_beside_it_is_not_imported_either(command, folder):
    """A process of its own, since Hydra looks for its plug-ins once."""
    group = "data" if command == "evaluate" else "loss"
    root = {"defaults": [{"paths": "default"}, "_self_"], "run": "???", "input": "x", "resume": None, group: EVIL}
    (folder / "conf" / f"{COMMANDS[command][0]}.yaml").write_text(OmegaConf.to_yaml(root))
    write(folder, {"backbone": EVIL})
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", *COMMANDS[command]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "evil_here" in done.stderr


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("canary",)


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(f"archive/{name.replace('__', '/')}", content)
    return buffer.getvalue()


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


@cache
def scripted():
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather not make them any more
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


def array():
    buffer = io.BytesIO()
    np.save(buffer, np.array([Hostile()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


EXPORTED = {"archive_format": "pt2", "archive_version": "0", "models__model.json": "{}", "data__weights__x": b""}
FILES = {
    "a pickle": lambda: pickle.dumps(Hostile()),
    "a pickle of another protocol": lambda: pickle.dumps({"state_dict": Hostile()}, protocol=5),
    "torch's own format": lambda: saved({"state_dict": {"a": Hostile()}}),
    "torch's old format": lambda: saved({"state_dict": {"a": Hostile()}}, _use_new_zipfile_serialization=False),
    "beside tensors": lambda: saved({"state_dict": {"a": torch.zeros(1)}, "callbacks": Hostile()}),
    "an array of objects": array,
    "an exported program": lambda: archive(**EXPORTED, **{"data__sample_inputs__x.pt": pickle.dumps(Hostile())}),
    "a zip around a pickle": lambda: archive(**{"data.pkl": pickle.dumps(Hostile()), "version": "3"}),
    "a script": scripted,
    "members that leave the folder": lambda: archive(**{"..__..__canary": b"", "data.pkl": b"", "version": "3"}),
    "text": lambda: b"import os; os.mkdir('canary')",
    "nothing": lambda: b"",
}


@pytest.mark.filterwarnings("ignore:.*looks like a TorchScript archive")  # torch says it of our call, which refuses it
@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors", ".npy", ".pt2"])
def test_a_hostile_checkpoint_is_never_run(suffix, forced, folder, monkeypatch):
    """Whatever its name, and whatever the environment says of ``torch.load``."""
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for kind, make in FILES.items():
        path = folder / "checkpoints" / f"best{suffix}"
        path.write_bytes(make())
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        (path.parent / "manifest.json").write_text(json.dumps({path.name: {"step": 1, "epoch": 0, "blake2b": digest}}))
        with pytest.raises(RunError):
            load(path)
        with pytest.raises(WeightsError):
            read_file(str(path))
        assert not Path("canary").exists(), kind


def test_the_same_files_would_run(folder):
    """The negative control."""
    ran = []
    for kind, make in FILES.items():
        try:
            torch.load(io.BytesIO(make()), weights_only=False)
        except Exception:  # what is no checkpoint at all
            continue
        finally:
            if Path("canary").exists():
                ran.append(kind)
                Path("canary").rmdir()
    assert {"torch's own format", "torch's old format", "beside tensors", "a pickle of another protocol"} & set(ran)
    assert len(ran) >= 3


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_run_is_a_local_folder(words, folder):
    for address in ("http://localhost:9/run", "s3://bucket/run"):
        asked = [word.replace("=.", f"='{address}'") for word in words]
        with pytest.raises(ConfigError, match="to be a local folder but got the address"):
            program.command_line(asked)
        with pytest.raises(RunError):
            rebuild(address, "best")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/tmp/x", ".."])
def test_a_runs_name_does_not_leave_the_folder_of_runs(name, folder):
    cfg = shipped().copy()
    cfg.name = name
    with pytest.raises(ConfigError, match=r"Expected name to stay in paths\.logs"):
        check(cfg)
    with pytest.raises(RunError, match=r"stay in paths\.logs"):
        Run(cfg, "train")
