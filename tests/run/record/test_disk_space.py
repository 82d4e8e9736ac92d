"""A disk that is full costs neither the last good checkpoint nor the reason."""

from __future__ import annotations

import errno
import shutil

import pytest
import torch
from torch import nn

from tunesmith.errors import RunError
from tunesmith.run.record import disk_space
from tunesmith.run.resume import checkpoint, resume
from tunesmith.run.resume.checkpoint import CheckpointIO
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST

STATE = {"state_dict": {"x": torch.ones(1000, 100)}, "epoch": 0}  # 400 kB


def save(folder, step):
    checkpoint.keep_as(folder / LAST, BEFORE)
    CheckpointIO().save_checkpoint(STATE | {"global_step": step}, folder / LAST)


def test_what_tensors_take():
    assert disk_space.size_of({"a": [torch.zeros(3), (torch.zeros(2, dtype=torch.uint8), "x")], "b": 1}) == 14
    assert disk_space.of_weights(nn.BatchNorm1d(2)) == 4 * 8 + 8


def test_too_little_room_is_found_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 1_300_000))
    with pytest.raises(RunError, match=r"Expected 0\.4 MB of free disk .* but got 1\.3 MB"):
        save(tmp_path, 2)
    assert resume.choose(tmp_path)[1]["step"] == 1
    assert not list(tmp_path.glob(".*"))


def fills_up(space):
    """Stands in for torch's writer on a disk that takes so many bytes more; its words are those that were seen."""

    def save(state, path):
        path.write_bytes(b"x" * space)
        raise RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/0")

    return save


@pytest.mark.parametrize("space", [0, 1, 4096, 300_000])
def test_a_disk_that_fills_up_during_a_save(space, tmp_path, monkeypatch):
    save(tmp_path, 1)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", fills_up(space))
        with pytest.raises(RunError, match=r"Expected to save last\.ckpt but the disk is full .*resume="):
            save(tmp_path, 2)
    chosen, entry, _ = resume.choose(tmp_path)
    assert entry["step"] == 1 and checkpoint.load(chosen)["global_step"] == 1
    assert not list(tmp_path.glob(".*"))
    save(tmp_path, 3)
    assert resume.choose(tmp_path)[1]["step"] == 3


@pytest.mark.parametrize("code", [errno.EROFS, errno.EDQUOT, errno.EIO])
def test_what_the_system_says_is_told(code, tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(code, "the system's words")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RunError, match="the disk is full" if code == errno.EDQUOT else "the system's words"):
        save(tmp_path, 1)


def test_other_errors_are_not_the_disks(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", lambda *a: (_ for _ in ()).throw(RuntimeError("another")))
    with pytest.raises(RuntimeError, match="another"):
        save(tmp_path, 1)


@pytest.mark.parametrize("path", ["../x.ckpt", "a/../../x.ckpt", "manifest.json"])
def test_a_checkpoint_that_says_where_others_lie_removes_nothing_elsewhere(path, tmp_path):
    (tmp_path / "x.ckpt").touch()
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with pytest.raises(RunError, match="Expected the path of a checkpoint"):
        CheckpointIO().remove_checkpoint(folder / path)
    assert (tmp_path / "x.ckpt").exists()
