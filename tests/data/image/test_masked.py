import numpy as np
import pytest
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.masked import fit_mask
from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic_masks import SyntheticMasks
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess


@pytest.mark.parametrize("shape", [(12, 12), (12, 20), (33, 16), (7, 9)])
def test_a_mask_is_cropped_and_scaled_as_its_image_is(shape):
    mask = np.random.default_rng(0).integers(0, 3, shape)
    decoder = Decode(12, 3, "nearest")
    image = decoder(np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8))
    assert torch.equal(fit_mask(mask, decoder), image[0].long())


def test_scaling_makes_no_new_classes_and_keeps_what_does_not_count():
    mask = np.zeros((9, 9), np.int64)
    mask[:, 5:], mask[4] = 2, IGNORED
    found = fit_mask(mask, Decode(20, 3, "bilinear"))
    assert found.dtype == torch.int64 and found.unique().tolist() == [IGNORED, 0, 2]


def test_batches_hold_masks_in_the_size_of_the_images():
    data = SyntheticMasks(split=Split(by="random", val=0.2, test=0.2), samples=20, size=24, batch_size=4)
    data.connect(ImagePreprocess(size=16))
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batch = next(iter(loader))
        assert batch["target"].shape == (4, 16, 16) and batch["input"].shape == (4, 3, 16, 16)
        first = data.table.targets[int(batch["index"][0])]
        assert torch.equal(batch["target"][0], fit_mask(first, data.decoder()))
    assert data.heaviest(2)["target"].shape == (2, 16, 16)


@pytest.mark.parametrize("option", [{"augment": "light"}, {"test_views": "flips"}])
def test_what_moves_pixels_is_refused(option):
    with pytest.raises(DataError, match="=none for images with masks, since masks do not follow"):
        SyntheticMasks(split=Split(), **option)
