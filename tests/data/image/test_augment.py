import pytest
import torch

from tunesmith.data.image.augment import AtRandom, Augment, InTurn, QuarterTurn, ScaledCrop, augmentation
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess

PRESETS = ("none", "light", "rotations", "slight", "auto", "randaugment")


def varied(preset, channels):
    height, width = (37, 60) if Augment(preset).margin else (32, 32)
    image = torch.arange(channels * height * width).remainder(251).to(torch.uint8).view(channels, height, width)
    augment = augmentation(preset, 32)
    return [augment(image) for _ in range(60)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("preset", PRESETS[1:])
def test_presets_vary_and_give_uint8_of_the_size(preset, channels):
    torch.manual_seed(0)
    results = varied(preset, channels)
    assert {(r.dtype, tuple(r.shape)) for r in results} == {(torch.uint8, (channels, 32, 32))}
    assert len({r.numpy().tobytes() for r in results}) > 5


def test_none_is_nothing():
    assert augmentation("none", 32) is None


def test_rotations_are_the_eight_symmetries_of_the_square():
    torch.manual_seed(0)
    image = torch.arange(9, dtype=torch.uint8).view(1, 3, 3)
    expected = {torch.rot90(p, k, (1, 2)).numpy().tobytes() for p in (image, image.flip(2)) for k in range(4)}
    augment = augmentation("rotations", 3)
    assert {augment(image).numpy().tobytes() for _ in range(200)} == expected
    assert len(expected) == 8


def test_a_quarter_turn_moves_no_pixel_between_channels():
    image = torch.stack([torch.full((4, 4), c, dtype=torch.uint8) for c in range(3)])
    assert torch.equal(QuarterTurn()(image), image)


def test_a_crop_reaches_every_edge_and_never_goes_past():
    torch.manual_seed(0)
    rows = torch.arange(20, dtype=torch.uint8).view(1, 20, 1).expand(1, 20, 18)
    seen = [ScaledCrop(16)(rows) for _ in range(200)]
    assert min(int(s.min()) for s in seen) == 0
    assert max(int(s.max()) for s in seen) == 19


def test_a_image_of_the_size_is_not_changed_by_the_crop():
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    assert torch.equal(ScaledCrop(16)(image), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_erased_is_nothing_once_it_is_normalised(channels):
    torch.manual_seed(0)
    preprocess = ImagePreprocess(size=32, mean=(0.2, 0.4, 0.6), std=(0.5, 0.5, 0.5))
    augment = Augment("none", erase=1.0).build(preprocess, channels).steps
    white = torch.full((channels, 32, 32), 255, dtype=torch.uint8)
    erased = augment(white)
    assert (erased.dtype, erased.shape) == (torch.uint8, white.shape)
    share = float((erased != 255).float().mean())
    assert 0.01 < share < 0.4
    fill = [51, 102, 153] if channels == 3 else [102]
    for channel, value in zip(erased, fill, strict=True):
        assert set(channel.unique().tolist()) == {value, 255}


def test_erasing_happens_as_often_as_asked():
    torch.manual_seed(0)
    augment = Augment("none", erase=0.25).build(ImagePreprocess(size=16), 3).steps
    white = torch.full((3, 16, 16), 255, dtype=torch.uint8)
    assert 60 < sum(bool((augment(white) != 255).any()) for _ in range(400)) < 140
    assert Augment("none").build(ImagePreprocess(size=16), 3) is None


def test_magnitude_is_the_strength_of_randaugment():
    image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)

    def change(magnitude):
        light, augment = augmentation("light", 32), augmentation("randaugment", 32, magnitude)
        total = 0.0
        for seed in range(30):
            results = []
            for step in (light, augment):
                torch.manual_seed(seed)
                results.append(step(image).float())
            total += float((results[0] - results[1]).abs().mean())
        return total

    assert change(0) < change(9) < change(30)


@pytest.mark.parametrize("arguments", [{"erase": 1.1}, {"erase": -0.1}, {"magnitude": 31}, {"magnitude": -1}])
def test_strengths_out_of_range(arguments):
    with pytest.raises(DataError, match=r"data.erase from 0 to 1 and data.magnitude from 0 to 30"):
        Augment("light", **arguments)


def test_a_batch_gets_what_each_of_its_images_would_get_alone():
    """Whatever its company, and images of any size beside each other."""
    augment = Augment("auto").build(ImagePreprocess(size=16), 3)
    assert isinstance(augment, AtRandom)
    images = [torch.randint(0, 256, (3, 18, width), dtype=torch.uint8) for width in (18, 30, 36)]
    draws = [augment.draw(0, 4, row, 0) for row in range(3)]
    together = augment(images, draws)
    assert (together.dtype, together.shape) == (torch.uint8, (3, 3, 16, 16))
    assert all(torch.equal(augment([p], [d])[0], t) for p, d, t in zip(images, draws, together, strict=True))
    assert not torch.equal(augment(images, draws[::-1]), together)


@pytest.mark.parametrize(("preset", "count"), [("flips_in_turn", 2), ("symmetries_in_turn", 8)])
def test_every_view_comes_in_its_turn(preset, count):
    augment = Augment(preset).build(ImagePreprocess(size=3), 1)
    assert isinstance(augment, InTurn) and augment.views == count
    image = torch.arange(9, dtype=torch.uint8).view(1, 3, 3)
    symmetries = [torch.rot90(p, k, (1, 2)) for p in (image, image.flip(2)) for k in range(4)]
    expected = {p.numpy().tobytes() for p in ([image, image.flip(2)] if count == 2 else symmetries)}

    def seen(epoch, row):
        return augment([image], [augment.draw(epoch, epoch, row, 0)])[0].numpy().tobytes()

    assert {seen(epoch, 5) for epoch in range(count)} == expected == {seen(1, row) for row in range(count)}
    assert seen(0, 5) == seen(count, 5)


def test_views_in_turn_leave_nothing_to_chance():
    with pytest.raises(DataError, match=r"data.erase=0 with data.augment=flips_in_turn"):
        Augment("flips_in_turn", erase=0.1)
