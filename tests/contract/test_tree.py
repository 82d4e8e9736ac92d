from __future__ import annotations

import pytest
import torch

from tunesmith.contract.tree import flatten, fold, leaves, map_tree, select, unflatten

TREE = {
    "a": torch.arange(3),
    "b": {"c": torch.arange(6).view(3, 2)},
    "d": [torch.zeros(1), torch.ones(2), torch.ones(3)],
}


def test_every_tensor_is_found_and_mapped():
    assert [len(leaf) for leaf in leaves(TREE)] == [3, 3, 1, 2, 3]
    doubled = map_tree(lambda tensor: 2 * tensor, TREE)
    assert doubled["b"]["c"].tolist() == [[0, 2], [4, 6], [8, 10]] and doubled["d"][2].tolist() == [2, 2, 2]
    assert map_tree(lambda tensor: 2 * tensor, {"views": 3}) == {"views": 3}


@pytest.mark.parametrize("rows", [torch.tensor([2, 0]), torch.tensor([True, False, True])])
def test_rows_are_selected_of_tensors_and_of_lists(rows):
    found = select({**TREE, "ids": ["x", "y", "z"]}, rows)
    order = [2, 0] if rows.dtype == torch.int64 else [0, 2]
    assert found["a"].tolist() == order and found["b"]["c"][:, 0].tolist() == [2 * i for i in order]
    assert [len(own) for own in found["d"]] == [i + 1 for i in order]
    assert found["ids"] == ["xyz"[i] for i in order]


@pytest.mark.parametrize("tree", [torch.ones(2), {"x": torch.ones(2)}, {"x": {"y": torch.ones(2), "z": torch.ones(1)}}])
def test_names_of_nested_tensors_lead_back_to_them(tree):
    flat = flatten(tree, "stage.1") | {"stage.10": torch.zeros(1)}
    assert all(isinstance(tensor, torch.Tensor) for tensor in flat.values())
    assert str(unflatten(flat, "stage.1")) == str(tree)
    assert unflatten(flat, "stage") is None


def test_views_are_folded_by_their_number():
    assert fold({"a": torch.zeros(6, 4)}, 3)["a"].shape == (2, 3, 4)
    assert fold(TREE, 1) is TREE
