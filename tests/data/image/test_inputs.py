import pytest
import torch
from torchvision.transforms import v2

from tunesmith.data.image.inputs import normalise, views
from tunesmith.modality.image import ImagePreprocess

IMAGES = torch.arange(2 * 3 * 4 * 4).float().view(2, 3, 4, 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalising_equals_torchvisions(channels):
    images = torch.randint(0, 256, (4, channels, 6, 6), dtype=torch.uint8)
    p = ImagePreprocess()
    expected = v2.functional.normalize(images.expand(-1, 3, -1, -1) / 255, p.mean, p.std)
    result = normalise(images, p)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_flips_are_the_image_and_its_mirror():
    seen = views(IMAGES, "flips", 4)
    assert seen.shape == (2, 2, 3, 4, 4)
    assert torch.equal(seen[:, 0], IMAGES)
    assert torch.equal(seen[:, 1], IMAGES.flip(-1))


def test_symmetries_are_eight_different_views_of_the_same_pixels():
    seen = views(IMAGES, "symmetries", 4)
    assert seen.shape == (2, 8, 3, 4, 4)
    assert torch.equal(seen[:, 0], IMAGES)
    assert len({v.numpy().tobytes() for v in seen[0]}) == 8
    assert all(torch.equal(v.flatten(1).sort().values, IMAGES[0].flatten(1)) for v in seen[0])


def test_five_crops_are_the_corners_and_the_centre():
    seen = views(IMAGES, "five_crops", 2)
    assert seen.shape == (2, 5, 3, 2, 2)
    corners = [IMAGES[0, 0, top : top + 2, left : left + 2] for top, left in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))]
    assert torch.equal(seen[0, :, 0], torch.stack(corners))


def test_none_is_the_image_as_it_is():
    assert views(IMAGES, "none", 4) is IMAGES
