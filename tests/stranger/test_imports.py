"""Files of the names that libraries look for: no command imports them from the folder that it is started in."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
from canary import CANARY

from tunesmith.config import gate
from tunesmith.errors import ConfigError

NAMES = (
    *("accimage", "apex", "boto3", "cupy", "deepspeed", "flash_attn", "gmpy2", "hydra_plugins", "jax", "numexpr"),
    *("opt_einsum", "optree", "pynvml", "sitecustomize", "tensorflow", "torch_npu", "torch_xla", "usercustomize"),
)
"""Some that torch, timm, Lightning, PIL, pandas and W&B try to import."""

ASKED = """
import sys
asked = set()
class Last:
    def find_spec(self, name, path=None, target=None):
        if path is None:
            asked.add(name)
import atexit
sys.meta_path.append(Last())
atexit.register(lambda: print("asked", *sorted(asked)))
"""

LINES = (
    "evaluate run=. evaluation.split=test",
    "predict run=. input=image.png",
    "export run=. output=out.safetensors",
    "cache",
    "compare .",
    "check data=synthetic",
)


def plant(folder, names):
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(folder.parent / CANARY)!r}, 'a').write({name!r} + ' ')\n")


@pytest.mark.long
def test_no_command_imports_what_lies_in_the_present_folder(stranger, commands):
    probe = subprocess.run(
        [sys.executable, "-c", ASKED + "import tunesmith.run.evaluate, tunesmith.run.predict, tunesmith.run.export"],
        capture_output=True,
        text=True,
        check=True,
        cwd=stranger.parent,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    asked = probe.stdout.split()[1:]
    assert "opt_einsum" in asked or "pynvml" in asked
    plant(stranger, {*NAMES, *(name for name in asked if name.isidentifier())})
    done = commands(*LINES)
    assert "Traceback" not in done.stderr, done.stderr


# ── what is named may come from there ───────────────────────────────────────────────────────────────────────────────

PLUG_IN = """
import mine_beside
from tunesmith.run.callback.callback import Callback
class Watch(Callback):
    def __init__(self) -> None:
        self.value = mine_beside.VALUE
"""


def test_a_plug_in_finds_what_its_source_imports_and_nothing_else_is_found(stranger, commands):
    plant(stranger, NAMES)
    (stranger / "mine_watch.py").write_text(PLUG_IN)
    (stranger / "mine_beside.py").write_text("VALUE = 1\n")
    words = "data=synthetic data.samples=40 trainer=cpu trainer.max_epochs=1 logger=none callback=quiet data.workers=0"
    done = commands(f"train {words} '+callback.mine={{_target_: mine_watch.Watch}}' paths.logs=../logs")
    assert done.stdout.splitlines()[-1] == "codes [0]", done.stderr
    (folder,) = (path.parent for path in (stranger.parent / "logs").rglob("run.json"))
    refused = commands(f"evaluate run={folder}", f"evaluate run={folder} --allow mine_watch")
    assert refused.stdout.splitlines()[-1] == "codes [2, 0]", refused.stderr


def test_what_the_environment_allows_is_not_looked_for_in_the_present_folder(tmp_path, monkeypatch):
    (tmp_path / "mine_of_nobody.py").write_text("class Thing: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setenv("TUNESMITH_ALLOW", "mine_of_nobody")
    with pytest.raises(ConfigError, match="say --allow mine_of_nobody"):
        gate.trust().require({"_target_": "mine_of_nobody.Thing"})
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mine_of_nobody")
    gate.trust(["mine_of_nobody"]).require({"_target_": "mine_of_nobody.Thing"})
    assert importlib.import_module("mine_of_nobody").Thing
    sys.modules.pop("mine_of_nobody")
