from __future__ import annotations

import pytest
import torch

from tunesmith.cache.frozen import Frozen
from tunesmith.cache.store import Store


@pytest.fixture
def runs(monkeypatch):
    """Counts the images that run through the frozen part."""
    counted = []
    run = Frozen.run
    monkeypatch.setattr(Frozen, "run", lambda self, images, cut: counted.append(len(images)) or run(self, images, cut))
    return counted


@pytest.fixture(autouse=True)
def _same_weights(monkeypatch):
    """The tiny backbone's are drawn anew for each run."""
    from tunesmith.run.assembly import assemble

    make = assemble.build

    def seeded(node, *trust, **more):
        torch.manual_seed(0)
        return make(node, *trust, **more)

    monkeypatch.setattr(assemble, "build", seeded)


def test_a_second_run_computes_nothing_but_a_look(opened, runs):
    first, opener = opened()
    assert (opener.hits, opener.computed) == (0, 60)
    del runs[:]
    second, opener = opened()
    assert (opener.hits, opener.computed) == (60, 0) and runs == [4]
    assert all(torch.equal(first[row]["pooled"], second[row]["pooled"]) for row in range(60))


def test_read_only_takes_what_is_there_and_adds_nothing(opened, tmp_path):
    assert opened(mode="read_only")[0] is None
    assert not list(Store(tmp_path / "store").entries())
    opened()
    assert opened(mode="read_only")[0] is not None


def test_refresh_computes_again_and_replaces(opened, tmp_path):
    opened()
    (path,) = (tmp_path / "store").glob("*/00000.safetensors")
    before = path.stat().st_ino
    size = Store(tmp_path / "store").size()
    assert opened(mode="refresh", max_bytes=int(1.5 * size))[1].computed == 60  # in the place of what is there
    assert path.stat().st_ino != before


@pytest.mark.parametrize("harm", ["cut", "altered", "removed"])
def test_a_damaged_file_is_computed_anew(opened, tmp_path, caplog, harm):
    whole, _ = opened()
    (path,) = (tmp_path / "store").glob("*/00000.safetensors")
    content = path.read_bytes()
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if harm == "cut" else content[:-9] + b"x" + content[-8:])
    again, opener = opened()
    assert opener.computed == 60
    assert ("computed anew" in caplog.text) == (harm != "removed")
    assert path.read_bytes() == content
    assert torch.equal(whole[5]["pooled"], again[5]["pooled"])


def test_other_code_behind_the_same_key_is_found_out(opened, monkeypatch, caplog):
    opened()
    monkeypatch.setattr(
        "tunesmith.backbone.tiny.Tiny.run_stage", lambda self, stage, x: self.net.get_submodule(stage.name)(x) * 1.1
    )
    _, opener = opened()
    assert opener.computed == 60 and "got other values" in caplog.text


def test_where_nothing_can_be_written_the_run_computes(opened, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    rows, _ = opened(folder=tmp_path / "file" / "store")
    assert rows is None and "Expected to write to the cache" in caplog.text


def test_a_disk_that_fills_up_leaves_nothing_half(opened, tmp_path, monkeypatch, caplog):
    from safetensors import SafetensorError

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("tunesmith.cache.shard.save_file", full)
    assert opened()[0] is None and "No space left" in caplog.text
    assert [p.name for p in (tmp_path / "store").glob("*/*")] == ["entry.json"]


def test_what_does_not_fit_is_computed_each_time(opened):
    rows, opener = opened(max_bytes=1000)
    assert rows is None and "cache.max_gb" in opener.said[0]


@pytest.mark.parametrize(("dtype", "tolerance"), [("exact", 0), ("bfloat16", 1e-2), ("float16", 1e-3)])
def test_numbers_come_back_as_computed(opened, dtype, tolerance):
    exact, _ = opened()
    found, _ = opened(dtype=dtype)
    assert found[7]["pooled"].dtype == torch.float32
    assert torch.allclose(found[7]["pooled"], exact[7]["pooled"], rtol=tolerance, atol=tolerance)


def test_a_map_is_kept_in_front_of_a_stage_that_trains(opened):
    rows, _ = opened("policy=last_stages", "policy.stages=1", stages=2)
    assert {name: tuple(t.shape) for name, t in rows[0].items()} == {"stage2": (32, 8, 8)}


def test_views_are_kept_of_augmented_training_images(opened):
    rows, opener = opened("data.augment=light", view=0)
    assert rows is not None and opener.computed < 60
