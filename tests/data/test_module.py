import numpy as np
import pytest
import torch

from tunesmith.contract.tree import leaves
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


def test_what_is_meta_never_leaves_the_cpu(squares):
    """All else does, also inputs that nest."""
    x = {side: {"image": torch.zeros(2, 3)} for side in ("left", "right")}
    meta, target = {"ids": ["a", "b"], "size": [torch.ones(2)] * 2}, {"boxes": [torch.zeros(1, 4), torch.zeros(3, 4)]}
    batch = {"input": x, "target": target, "streams": {"more": {"input": torch.zeros(1)}}, "meta": meta, "views": 1}
    moved = squares().transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved["meta"] is meta and moved["views"] == 1
    assert all(tensor.is_meta for tensor in leaves({k: v for k, v in moved.items() if k != "meta"}))
    assert len(list(leaves(moved))) == 7
