from __future__ import annotations

import pytest
import torch

from tunesmith.cache.source import Plain, View
from tunesmith.data.image.batch_transform import collate
from tunesmith.data.sampler import Key


def batch_of_training(data, epoch, positions):
    """What training shows in an epoch, by the way of the loader."""
    dataset = data.training_images()
    batch = data.on_before_batch_transfer(collate([dataset[Key(epoch, position)] for position in positions]), 0)
    return data.on_after_batch_transfer(batch, 0)["input"]


def shown(data, images):
    return data.finish({"input": images, "target": None, "index": None}, data.preprocess, None, data.spec, None)[
        "input"
    ]


@pytest.mark.parametrize("preset", ["light", "rotations", "symmetries_in_turn"])
def test_a_view_is_what_training_sees_in_that_epoch(assembled, preset):
    data = assembled(f"data.augment={preset}").data
    view = View(data.training_images(), data.augmentation(), 2)
    (images,) = view.batches([range(3)])
    assert torch.equal(shown(data, torch.stack(images)), batch_of_training(data, 2, range(3)))
    assert not torch.equal(shown(data, torch.stack(images)), batch_of_training(data, 3, range(3)))


def test_plain_images_come_in_order_over_all_batches(assembled):
    dataset = assembled().data.plain(torch.arange(60).numpy())
    spans = [range(i, min(i + 7, 60)) for i in range(0, 60, 7)]
    found = [image for batch in Plain(dataset).batches(spans) for image in batch]
    assert all(torch.equal(image, dataset.decode(i)) for i, image in enumerate(found)) and len(found) == 60
