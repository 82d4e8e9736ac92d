import numpy as np
import pytest

from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.text import TextPreprocess


def test_images_want_a_backbone_of_images(squares):
    with pytest.raises(ConfigError, match=r"^Expected a backbone for images but got one for texts; use backbone=timm"):
        squares().connect(TextPreprocess("x", "x", "x", 8, 8))


def test_images_keep_the_tables_order_when_they_are_computed(squares):
    assert squares().length_sorted(np.array([3, 1, 2]), 2).tolist() == [3, 1, 2]


def test_a_batch_has_a_sample(squares):
    with pytest.raises(DataError, match=r"batch_size to be at least 1 but got 0"):
        squares(batch_size=0)
