import pytest
import torch
from torchmetrics import MeanMetric, Metric
from torchmetrics.text import EditDistance

from tunesmith.compat import torchmetrics as ours
from tunesmith.errors import LibraryError


@pytest.mark.parametrize("name", ["_computed", "_update_count", "metric_state", "update_count"])
def test_a_version_without_the_name_is_refused(refused, name):
    refused(ours, "torchmetrics", Metric, name)


def test_a_metric_goes_on_where_it_was():
    before, after = MeanMetric(), MeanMetric()
    before.update(torch.tensor([1.0, 2.0]))
    after.update(torch.tensor([9.0]))
    after.compute()
    ours.put_back(after, {name: state.clone() for name, state in before.metric_state.items()}, before.update_count)
    assert after.compute() == 1.5
    assert after.update_count == 1
    for metric in (before, after):
        metric.update(torch.tensor([6.0]))
    assert after.compute() == before.compute() == 3.0


@pytest.mark.parametrize("name", ["_update_count", "_computed", "mean_value"])
def test_a_metric_without_the_attribute_is_refused(name):
    metric = MeanMetric()
    states = metric.metric_state
    delattr(metric, name)
    with pytest.raises(LibraryError, match=f"MeanMetric has no '{name}'"):
        ours.put_back(metric, states, 1)


def test_a_state_of_another_metric_is_refused():
    with pytest.raises(LibraryError, match="EditDistance has no 'mean_value'"):
        ours.put_back(EditDistance(), MeanMetric().metric_state, 1)
