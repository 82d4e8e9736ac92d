from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tunesmith.errors import RunError
from tunesmith.run.resume.checkpoint import CheckpointIO, load, load_weights


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoints" / "best.ckpt"
    model = nn.Linear(2, 3)
    CheckpointIO().save_checkpoint({"state_dict": model.state_dict(), "global_step": 7, "epoch": 1}, path)
    return path, model


def test_a_checkpoint_comes_back(saved):
    path, model = saved
    other = nn.Linear(2, 3)
    load_weights(other, path)
    assert torch.equal(other.weight, model.weight)
    assert json.loads((path.parent / "manifest.json").read_text())["best.ckpt"]["step"] == 7


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_an_altered_checkpoint_is_refused(saved, damage):
    path, _ = saved
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-1]), "empty": b""}[damage])
    with pytest.raises(RunError, match="digest is another"):
        load(path)


def test_a_checkpoint_without_its_manifest_is_refused(saved):
    path, _ = saved
    (path.parent / "manifest.json").unlink()
    with pytest.raises(RunError, match="vouches"):
        load(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(RunError, match=r"best\.ckpt but there is none"):
        load(tmp_path / "best.ckpt")


def test_surplus_and_missing_tensors_are_named(saved):
    path, _ = saved
    with pytest.raises(RunError, match=r"0\.weight"):
        load_weights(nn.Sequential(nn.Linear(2, 3)), path)


def test_a_removed_checkpoint_leaves_the_manifest(saved):
    path, _ = saved
    CheckpointIO().remove_checkpoint(path)
    assert not path.exists()
    assert json.loads((path.parent / "manifest.json").read_text()) == {}


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    canary, path = tmp_path / "canary", tmp_path / "best.ckpt"
    CheckpointIO().save_checkpoint({"state_dict": {}, "global_step": 0, "epoch": 0, "x": Canary(canary)}, path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RunError, match="tensors and plain containers only"):
        load(path)
    assert not canary.exists()
