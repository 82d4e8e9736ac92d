from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.data.image.batch_transform import collate
from tunesmith.data.sampler import Key
from tunesmith.modality.image import ImagePreprocess


def sample(height, width, **more):
    return {"input": torch.zeros(3, height, width, dtype=torch.uint8), "target": 1, "index": 2, **more}


def test_images_of_one_size_are_stacked_and_others_stay_a_list():
    assert collate([sample(4, 5), sample(4, 5)])["input"].shape == (2, 3, 4, 5)
    uneven = collate([sample(4, 5, meta={"draw": 3}), sample(4, 6, meta={"draw": 2**62})])
    assert [p.shape for p in uneven["input"]] == [(3, 4, 5), (3, 4, 6)]
    assert uneven["meta"] == {"draw": [3, 2**62]} and uneven["target"].tolist() == [1, 1]


def test_what_is_kept_of_images_is_stacked_by_name():
    kept = [{"input": {"pooled": torch.tensor([float(i)])}, "target": 0, "index": i} for i in range(2)]
    assert collate(kept)["input"]["pooled"].tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("augment", ["light", "symmetries_in_turn"])
def test_a_batch_is_augmented_by_what_its_samples_drew(squares, augment):
    """One after another or together, the global streams as they were: the numbers are the samples' own."""
    data = squares(augment=augment)
    dataset = data.training_images()

    def finished(positions):
        batch = data.on_before_batch_transfer(collate([dataset[Key(3, position)] for position in positions]), 0)
        assert all(isinstance(draw, int) for draw in batch["meta"]["draw"])
        return data.on_after_batch_transfer(batch, 0)["input"]

    together = finished(range(6))
    torch.manual_seed(5)
    assert torch.equal(together, torch.cat([finished([position]) for position in range(6)]))
    assert together.shape == (6, 3, 8, 8)


def test_without_augmentation_images_are_only_normalised(squares):
    data = squares(augment="none")
    data.connect(ImagePreprocess(size=8, mean=(0.5,) * 3, std=(0.25,) * 3))
    image = data.plain(np.arange(1))[0]
    batch = data.on_after_batch_transfer(collate([image]), 0)
    assert torch.allclose(batch["input"][0], (image["input"] / 255 - 0.5) / 0.25, atol=1e-6)
