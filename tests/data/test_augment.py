import pytest
import torch

from tunesmith.data.augment import QuarterTurn, ScaledCrop, augmentation, has_margin

PRESETS = ("none", "light", "rotations", "auto")


def varied(preset, channels):
    height, width = (37, 60) if has_margin(preset) else (32, 32)
    picture = torch.arange(channels * height * width).remainder(251).to(torch.uint8).view(channels, height, width)
    augment = augmentation(preset, 32)
    return [augment(picture) for _ in range(60)]


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
    picture = torch.arange(9, dtype=torch.uint8).view(1, 3, 3)
    expected = {torch.rot90(p, k, (1, 2)).numpy().tobytes() for p in (picture, picture.flip(2)) for k in range(4)}
    augment = augmentation("rotations", 3)
    assert {augment(picture).numpy().tobytes() for _ in range(200)} == expected
    assert len(expected) == 8


def test_a_quarter_turn_moves_no_pixel_between_channels():
    picture = torch.stack([torch.full((4, 4), c, dtype=torch.uint8) for c in range(3)])
    assert torch.equal(QuarterTurn()(picture), picture)


def test_a_crop_reaches_every_edge_and_never_goes_past():
    torch.manual_seed(0)
    rows = torch.arange(20, dtype=torch.uint8).view(1, 20, 1).expand(1, 20, 18)
    seen = [ScaledCrop(16)(rows) for _ in range(200)]
    assert min(int(s.min()) for s in seen) == 0
    assert max(int(s.max()) for s in seen) == 19


def test_a_picture_of_the_size_is_not_changed_by_the_crop():
    picture = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    assert torch.equal(ScaledCrop(16)(picture), picture)
