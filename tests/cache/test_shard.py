from __future__ import annotations

import pickle

import pytest
import torch
from safetensors import SafetensorError

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


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_whole_numbers_too_and_tensors_without_elements(tmp_path, dtype):
    tensors = {"a": torch.arange(6).view(3, 2).to(dtype), "none": torch.zeros(3, 0, 4, dtype=dtype)}
    write(tmp_path / "x.safetensors", tensors)
    found = Shard(tmp_path / "x.safetensors").tensors
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == dtype for name in tensors)


def test_the_numbers_of_rows_are_those_of_all_tensors_but_pixels(tmp_path, path):
    assert Shard(path).lengths == {4}
    write(
        tmp_path / "x", {"pixels": torch.zeros(50, dtype=torch.uint8), "ends": torch.arange(3), "other": torch.ones(2)}
    )
    assert Shard(tmp_path / "x").lengths == {3, 2}


def test_a_file_that_is_larger_than_a_block_is_digested_whole(tmp_path):
    path = tmp_path / "x"
    write(path, {"a": torch.arange(2**18 + 5, dtype=torch.float32).view(-1, 1), "b": torch.ones(2**18 + 5, 3)})
    Shard(path)
    for place in (2**20 - 1, 2**20 + 8, 2**21, -1):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        (tmp_path / "y").write_bytes(content)
        with pytest.raises(BrokenShardError, match="y: its content is not what was written"):
            Shard(tmp_path / "y")


def test_what_another_process_gets_is_not_read_again(path):
    shard = Shard(path)
    copied = pickle.dumps(shard)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert pickle.loads(copied).path == path  # it was compared when it was opened
    with pytest.raises(BrokenShardError):
        Shard(path)


@pytest.mark.parametrize(
    "content", [b"{}", b'{"__metadata__": {}}', b'{"__metadata__": {"digest": "x"}}', b"[]", b"\xff"]
)
def test_files_of_another_make_are_refused(content, path):
    path.write_bytes(len(content).to_bytes(8, "little") + content)
    with pytest.raises(BrokenShardError, match=path.name):
        Shard(path)
    with pytest.raises(BrokenShardError, match="none"):
        Shard(path.with_name("none"))


def test_other_names_and_shapes_of_the_same_bytes_have_another_digest(tmp_path):
    tensors = [{"a": torch.ones(2, 3)}, {"b": torch.ones(2, 3)}, {"a": torch.ones(3, 2)}]
    for i, each in enumerate(tensors):
        write(tmp_path / str(i), each)
    digests = {path.read_bytes().partition(b'"digest":"')[2][:32] for path in tmp_path.iterdir()}
    assert len(digests) == 3


def test_a_full_disk_is_an_error_of_the_system(path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("no room")

    monkeypatch.setattr("tunesmith.cache.shard.save_file", full)
    with pytest.raises(OSError, match=f"{path.name}: no room"):
        write(path, {"pooled": torch.zeros(1)})


def test_the_memory_of_a_tensor_is_the_files(path):
    """It can be written to without an error, as torch wants it, and the file stays as it is."""
    shard, before = Shard(path), path.read_bytes()
    shard.tensors["pooled"][0] = 9.0
    assert path.read_bytes() == before and Shard(path).tensors["pooled"][0, 0] == 0
