"""Pretended jobs, in a folder of their own; and callbacks of a user's, for real ones."""

import functools
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

SPY = """
import json
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Callback
from tunesmith.config.compose import compose
from tunesmith.run.record.record import hash_of


class Spy(Callback):
    def on_fit_end(self, trainer, pl_module) -> None:
        folder = Path(trainer.default_root_dir)
        rank = trainer.global_rank
        torch.save(pl_module.state_dict(), folder / f"weights-{rank}.pt")
        typed = list(HydraConfig.get().overrides.task)
        told = {"world": trainer.world_size, "lr": trainer.optimizers[0].defaults["lr"]}
        told["config_hash"] = hash_of(compose("train", typed))  # of what this rank was started with
        (folder / f"rank-{rank}.json").write_text(json.dumps(told))
"""


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """What `pretend.py` defines; the present folder is the test's."""
    monkeypatch.chdir(tmp_path)
    path = Path(__file__).with_name("pretend.py")
    return SimpleNamespace(**runpy.run_path(str(path)), path=path)


@pytest.fixture(scope="session")
def with_callback():
    """Gives a user's folder a callback of their own; and the override that chooses it."""
    return _with_callback


@pytest.fixture(scope="session")
def spied():
    """Gives a folder a callback by which each rank of a job says what it trained, and the override that chooses it."""
    return functools.partial(_with_callback, name="spy", code=SPY)


@pytest.fixture(scope="session")
def ranks():
    """What the two ranks of a spied job say: the same, down to the bits of the weights."""
    return _agreed


def _with_callback(folder, name, code, **arguments):
    (folder / f"{name}s.py").write_text(code)
    options = folder / "conf" / "callback"
    options.mkdir(parents=True)
    node = {"_target_": f"{name}s.{name.title()}", **arguments}
    (options / f"{name}.yaml").write_text(f"# Mine.\n{json.dumps({name: node})}\n")
    return f"callback=[quiet,{name}]"


def _agreed(folder):
    told = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0] == told[1]
    assert told[0]["config_hash"] == json.loads((folder / "run.json").read_text())["config_hash"]
    one, two = (torch.load(folder / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    return told[0]
