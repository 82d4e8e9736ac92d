import pickle

import numpy as np
import pytest
import torch

from tunesmith.data.dataset import ImageDataset
from tunesmith.data.image.augment import AtRandom, augmentation
from tunesmith.data.image.decode import Decode
from tunesmith.data.sampler import Key

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 12, 20, 3), dtype=np.uint8)
ROWS = np.array([3, 5, 8, 13, 19])


def make(preset="light", seed=0, rows=ROWS):
    steps = augmentation(preset, 8)
    return ImageDataset(PIXELS, np.arange(20), rows, Decode(8, 3, margin=True), steps and AtRandom(steps), seed)


def augmented(data, key):
    sample = data[key]
    return data.augmentation([sample["input"]], [sample["meta"]["draw"]])[0]


def same(a, b):
    return torch.equal(a["input"], b["input"]) and all(a.get(k) == b.get(k) for k in ("target", "index", "meta"))


def test_a_sample_names_its_row_and_target():
    sample = make()[Key(0, 2)]
    assert (sample["target"], sample["index"]) == (8, 8)
    assert (sample["input"].dtype, sample["input"].shape) == (torch.uint8, (3, 9, 15))
    assert len(make()) == 5


def test_padding_is_marked():
    assert make()[Key(0, 2, padding=True)]["index"] == -1


def test_a_sample_depends_on_seed_epoch_and_row_alone():
    first = make()[Key(4, 2)]
    other = make(rows=np.array([8]))
    torch.manual_seed(99)
    assert same(first, other[Key(4, 0)])
    epochs = [augmented(make(), Key(e, 2)) for e in range(6)]
    seeds = [augmented(make(seed=s), Key(4, 2)) for s in range(6)]
    assert len({p.numpy().tobytes() for p in epochs}) > 3
    assert len({p.numpy().tobytes() for p in seeds}) > 3


def test_a_plain_position_counts_as_epoch_0():
    assert same(make()[1], make()[Key(0, 1)])


def test_memory_changes_no_bit():
    plain, kept = make(), make()
    kept.remember("Decoding")
    assert all(same(plain[Key(1, i)], kept[Key(1, i)]) for i in range(5))


def test_memory_decodes_each_image_once(monkeypatch):
    calls = []
    decode = ImageDataset.decode
    monkeypatch.setattr(ImageDataset, "decode", lambda self, i: calls.append(i) or decode(self, i))
    kept = make()
    kept.remember("Decoding")
    kept.remember("Decoding")
    for epoch in range(2):
        for i in range(5):
            kept[Key(epoch, i)]
    assert sorted(calls) == [0, 1, 2, 3, 4]


def test_what_memory_holds_is_not_changed_by_augmentation():
    kept = make("rotations")
    kept.remember("Decoding")
    before = kept.memory.buffer.clone()
    for i in range(5):
        augmented(kept, i)
    assert torch.equal(kept.memory.buffer, before)


def test_decoded_images_that_are_kept_are_served_by_row_of_the_table():
    data = make()
    data.decoded = {row: torch.full((3, 9, 15), row, dtype=torch.uint8) for row in ROWS.tolist()}
    assert [int(data[i]["input"][0, 0, 0]) for i in range(5)] == ROWS.tolist()
    assert not data.decodes and make().decodes


@pytest.mark.parametrize("preset", ["light", "rotations", "auto"])
def test_the_global_streams_stay_as_they_were(streams, preset):
    before = streams()
    augmented(make(preset), Key(0, 0))
    assert streams() == before


def test_augmentation_alone_would_disturb_them(streams):
    before = streams()
    augmentation("light", 8)(torch.zeros(3, 9, 9, dtype=torch.uint8))
    assert streams() != before


def test_a_worker_can_be_sent_one():
    assert same(pickle.loads(pickle.dumps(make()))[Key(1, 1)], make()[Key(1, 1)])


def test_values_and_weights_come_with_the_sample():
    values, weights = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20, dtype=np.float32)
    sample = ImageDataset(PIXELS, values, ROWS, Decode(8, 3), weights=weights)[Key(0, 2)]
    assert sample["target"].tolist() == [16, 17]
    assert sample["weight"].item() == 8
    assert sample["target"].dtype == sample["weight"].dtype == torch.float32
    assert "weight" not in make()[Key(0, 2)]


def test_a_sample_that_comes_again_in_an_epoch_is_augmented_anew():
    rounds = [augmented(make(), Key(0, 2, round=r)).numpy().tobytes() for r in range(6)]
    assert len(set(rounds)) > 3
    assert rounds[0] == augmented(make(), Key(0, 2)).numpy().tobytes()


def test_without_augmentation_nothing_is_drawn():
    assert "meta" not in make("none")[0]
