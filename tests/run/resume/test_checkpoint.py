from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tunesmith.errors import RunError
from tunesmith.run.resume.checkpoint import (
    MANIFEST,
    CheckpointIO,
    confined,
    holds,
    keep_as,
    load,
    load_weights,
    read_manifest,
)


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
    assert CheckpointIO().load_checkpoint(path).keys() == load(path).keys() == {"state_dict", "global_step", "epoch"}
    assert json.loads((path.parent / "manifest.json").read_text())["best.ckpt"]["step"] == 7


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_an_altered_checkpoint_is_refused(saved, damage):
    path, _ = saved
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-1]), "empty": b""}[damage])
    with pytest.raises(RunError, match="match its digest"):
        load(path)


def test_a_checkpoint_without_its_manifest_is_refused(saved):
    path, _ = saved
    (path.parent / "manifest.json").unlink()
    with pytest.raises(RunError, match="to match its digest"):
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


def write(path, step=1, **more):
    CheckpointIO().save_checkpoint({"state_dict": {}, "global_step": step, "epoch": 0, **more}, path)


@pytest.mark.parametrize("name", [MANIFEST, "../best.ckpt", "a/../../best.ckpt"])
def test_a_checkpoint_can_neither_leave_its_folder_nor_take_the_manifests_place(name, saved):
    path, _ = saved
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    for act in (confined, write, CheckpointIO().remove_checkpoint):
        with pytest.raises(RunError, match=r"Expected the path of a checkpoint without '\.\.' but got"):
            act(path.parent / name)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    assert confined(path) == path and confined(Path("a..b/c.ckpt")) == Path("a..b/c.ckpt")


def test_what_is_kept_under_a_second_name_is_vouched_for_too(tmp_path):
    last, before = tmp_path / "last.ckpt", tmp_path / "last-1.ckpt"
    keep_as(last, before.name)
    assert not list(tmp_path.iterdir())
    write(last, 3)
    keep_as(last, before.name)
    write(last, 4)
    assert [load(path)["global_step"] for path in (before, last)] == [3, 4]
    assert read_manifest(tmp_path)[before.name]["step"] == 3 and holds(before) and holds(last)


@pytest.mark.parametrize("how", ["altered", "not in the manifest", "missing"])
def test_one_that_is_not_what_was_written_is_not_kept(how, tmp_path):
    last, before = tmp_path / "last.ckpt", tmp_path / "last-1.ckpt"
    write(before, 2)
    write(last, 3)
    if how == "altered":
        last.write_bytes(last.read_bytes()[:-1])
    elif how == "missing":
        last.unlink()
    else:
        (tmp_path / MANIFEST).write_text(json.dumps({before.name: read_manifest(tmp_path)[before.name]}))
    keep_as(last, before.name)
    assert load(before)["global_step"] == 2 and not holds(last)


def test_without_hard_links_it_is_copied(tmp_path, monkeypatch):
    def refused(self, target):
        raise OSError("not supported")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    write(tmp_path / "last.ckpt", 3)
    keep_as(tmp_path / "last.ckpt", "last-1.ckpt")
    write(tmp_path / "last.ckpt", 4)
    assert load(tmp_path / "last-1.ckpt")["global_step"] == 3


def test_the_manifest_says_where_a_checkpoint_goes_on(tmp_path):
    write(tmp_path / "last.ckpt", 5, resume={"batch": 2, "seconds": 1.5, "metrics": {}})
    write(tmp_path / "best.ckpt", 4)
    manifest = read_manifest(tmp_path)
    assert {k: v for k, v in manifest["last.ckpt"].items() if k != "blake2b"} == {
        "step": 5,
        "epoch": 0,
        "batch": 2,
        "seconds": 1.5,
    }
    assert sorted(manifest["best.ckpt"]) == ["blake2b", "epoch", "step"]


def test_a_first_save_that_is_cut_short_leaves_an_empty_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "checkpoints" / "last.ckpt")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [MANIFEST]
    assert read_manifest(tmp_path / "checkpoints") == {} == read_manifest(tmp_path / "nowhere")


def test_to_remove_what_is_not_there_changes_nothing(saved):
    path, _ = saved
    before = (path.parent / MANIFEST).read_bytes()
    CheckpointIO().remove_checkpoint(path.with_name("other.ckpt"))
    assert path.exists() and (path.parent / MANIFEST).read_bytes() == before
    (path.parent / MANIFEST).write_text("{")
    with pytest.raises(RunError, match="to be a JSON file but got"):
        read_manifest(path.parent)


@pytest.mark.parametrize("content", [[], {"global_step": 0}, {"state_dict": []}])
def test_what_is_no_checkpoint_is_refused(content, tmp_path):
    path = tmp_path / "best.ckpt"
    write(path)
    torch.save(content, path)
    manifest = read_manifest(tmp_path)
    manifest[path.name]["blake2b"] = digest_of(path)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="with the weights under 'state_dict', but it is not"):
        load(path)


def digest_of(path):
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def test_the_digest_is_of_the_whole_file_however_large(tmp_path):
    path = tmp_path / "best.ckpt"
    write(path, state_dict={"x": torch.arange(1_000_000)})
    assert path.stat().st_size > 3 * 2**20
    assert read_manifest(tmp_path)[path.name]["blake2b"] == digest_of(path)
