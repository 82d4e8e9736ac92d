import time

import pytest
import torch

from tunesmith.backbone.tiny import Tiny
from tunesmith.errors import ConfigError, WeightsError
from tunesmith.modality.image import ImagePreprocess


def test_three_stages_for_images_of_any_small_size():
    for size in (8, 32):
        backbone = Tiny(image_size=size).eval()
        assert [s.name for s in backbone.stages] == ["stage1", "stage2", "stage3"]
        assert backbone.preprocess == ImagePreprocess(size=size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        assert backbone(torch.randn(2, 3, size, size)).pooled.shape == (2, 64)


def test_fast_enough_for_a_first_step():
    backbone, images = Tiny().eval(), torch.randn(32, 3, 32, 32)
    with torch.no_grad():
        backbone(images)
        seconds = []
        for _ in range(5):
            begin = time.perf_counter()
            backbone(images)
            seconds.append(time.perf_counter() - begin)
    assert min(seconds) / 32 < 2e-3  # measured: 0.03 ms an image; loose, for busy machines


def test_it_has_no_pretrained_weights():
    with pytest.raises(WeightsError, match=r"no pretrained weights.*backbone.weights=null"):
        Tiny(weights="pretrained")


def test_its_own_weights_load_from_a_file(tmp_path):
    first = Tiny()
    torch.save(first.net.state_dict(), tmp_path / "tiny.pth")
    second = Tiny(weights=str(tmp_path / "tiny.pth"))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_width_must_be_positive():
    with pytest.raises(ConfigError, match=r"backbone.width.*got 0"):
        Tiny(width=0)
