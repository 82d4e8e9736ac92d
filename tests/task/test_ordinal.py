from __future__ import annotations

import torch

from tunesmith.contract.spec import DataSpec
from tunesmith.task.ordinal import Ordinal


def test_one_output_fewer_than_levels():
    assert Ordinal.num_outputs(DataSpec(("low", "mid", "high"), 3, "", "sample", target="ordinal")) == 2


def test_predictions_are_class_probabilities():
    outputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    for found in (Ordinal.predict(None, outputs), Ordinal.predict(None, outputs[:, None])[:, 0]):
        assert found.shape == (50, 5) and found.min() >= 0
        assert torch.allclose(found.sum(-1), torch.ones(50))


def test_probabilities_follow_from_outputs_that_agree():
    above = torch.tensor([[0.9, 0.6, 0.2]])
    assert torch.allclose(Ordinal.predict(None, above.logit()), torch.tensor([[0.1, 0.3, 0.4, 0.2]]))


def test_a_label_is_the_number_of_levels_passed_and_not_the_most_probable_class():
    above = torch.tensor([[0.9, 0.6, 0.2], [0.4, 0.3, 0.3], [0.6, 0.55, 0.45], [0.9, 0.9, 0.9]])
    probabilities = Ordinal.predict(None, above.logit())
    assert Ordinal.labels(None, probabilities).tolist() == [2, 0, 2, 3]
    assert probabilities.argmax(-1).tolist() == [2, 0, 3, 3]
