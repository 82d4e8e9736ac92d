import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.task.sequence import aligned, parted, whole


def test_parts_and_wholes():
    values, sample = whole([torch.arange(2), torch.arange(0), torch.arange(3)])
    assert (values.tolist(), sample.tolist()) == ([0, 1, 0, 1, 2], [0, 0, 2, 2, 2])
    assert [part.tolist() for part in parted(values, torch.tensor([2, 0, 3]))] == [[0, 1], [], [0, 1, 2]]


def test_targets_are_padded_to_the_outputs():
    assert aligned(torch.tensor([[1, 2]]), 4).tolist() == [[1, 2, IGNORED, IGNORED]]
    assert aligned(torch.tensor([[1, 2]]), 2).tolist() == [[1, 2]]
