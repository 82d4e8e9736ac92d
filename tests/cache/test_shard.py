from __future__ import annotations

import pickle

import pytest
import torch

from tunesmith.cache.shard import BrokenShardError, Shard, write


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "00000.safetensors"
    write(path, {"pooled": torch.arange(12.0).view(4, 3), "stage_features.0": torch.ones(4, 2, 2)})
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_what_is_written_is_read(tmp_path, dtype):
    tensors = {"b": torch.randn(3, 2, 2).to(dtype), "a": torch.randn(3, 5).to(dtype)}
    write(tmp_path / "x.safetensors", tensors)
    shard = Shard(tmp_path / "x.safetensors")
    assert shard.tensors.keys() == tensors.keys()
    assert all(torch.equal(shard.tensors[name], tensors[name]) for name in tensors)
    assert all(shard.tensors[name].dtype == dtype for name in tensors)


def test_others_can_read_it(path):
    from safetensors.torch import load_file

    assert torch.equal(load_file(path)["pooled"], torch.arange(12.0).view(4, 3))


def test_no_altered_byte_goes_unseen(path):
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        altered = bytearray(whole)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises((BrokenShardError, AssertionError)):
            shard = Shard(path)
            assert torch.equal(shard.tensors["pooled"], torch.arange(12.0).view(4, 3))  # a space in the header
            assert shard.tensors.keys() != {"pooled", "stage_features.0"}
    path.write_bytes(whole)
    Shard(path)


@pytest.mark.parametrize("length", [0, 4, 8, 40, -1, -20])
def test_a_file_cut_short_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BrokenShardError):
        Shard(path)


def test_a_file_that_grew_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BrokenShardError, match="length"):
        Shard(path)


def test_pages_that_were_let_go_come_back(path):
    shard = Shard(path)
    before = shard.tensors["pooled"].clone()
    shard.let_go()
    assert torch.equal(shard.tensors["pooled"], before)


def test_another_process_opens_it_by_its_path(path):
    copied = pickle.loads(pickle.dumps(Shard(path)))
    assert torch.equal(copied.tensors["pooled"], Shard(path).tensors["pooled"])


def test_an_older_file_stays_until_the_new_one_is_whole(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("tunesmith.cache.shard.save_file", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(path, {"pooled": torch.zeros(1)})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
