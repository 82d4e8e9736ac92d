from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.image import MODALITY, ImagePreprocess

HOW = ImagePreprocess(12, "bicubic", (0.5,), (0.25,))


def test_a_record_gives_it_back():
    record = json.loads(json.dumps(asdict(HOW)))
    assert MODALITY.restored(record | {"of a later version": 1}) == HOW


def test_blank_images():
    blank = HOW.blank(2, torch.zeros(1, dtype=torch.float64))
    assert blank.shape == (2, 1, 12, 12) and blank.dtype == torch.float64 and not blank.any()


def test_a_size_is_positive():
    HOW.check()
    with pytest.raises(ConfigError, match="at least 1 pixel but got 0"):
        ImagePreprocess(0).check()


def test_grey_or_colour():
    assert [MODALITY.channels(number) for number in (1, 3)] == [1, 3]
    with pytest.raises(DataError, match=r"1 \(grey\) or 3 \(RGB\) but got 0"):
        MODALITY.channels(0)


def test_content_of_files_and_pixels(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"abcdef")
    assert MODALITY.content(file, True, 2) == b"abcdef"
    assert MODALITY.content(file, False, 2) == (6).to_bytes(8, "little") + b"ab"
    one, other = np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)
    assert MODALITY.content(one, True, 2) != MODALITY.content(other, True, 2)
    assert MODALITY.files([file, one]) == [file]


def test_the_image_size_is_what_a_file_of_weights_does_not_say():
    assert HOW.backbone_options() == {"image_size": 12}
