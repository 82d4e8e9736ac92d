from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torchmetrics

from tunesmith.compat.required import assign, imported, require, require_keys, update
from tunesmith.errors import LibraryError, TunesmithError


class Base:
    def __init__(self):
        self._made = 1


class Kind(Base):
    _there = 1
    _declared: int

    def __init__(self):
        super().__init__()
        self.own = 2


def test_what_is_there_passes():
    require("torch", Kind, "_there", "_made", "own")
    require("torch", Kind(), "_there", "_made", "own")
    require("torch", torchmetrics, "Metric")
    require("torch", Kind)


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (Kind, "Kind has no '_gone'"),
        (Kind(), "Kind has no '_gone'"),
        (torchmetrics, "torchmetrics has no '_gone'"),
    ],
)
def test_what_is_not_there_is_said_with_the_version(owner, said):
    with pytest.raises(LibraryError) as caught:
        require("torch", owner, "__doc__", "_gone")
    assert isinstance(caught.value, TunesmithError)
    assert str(caught.value) == (
        f"Expected a version of torch that tunesmith knows but got {version('torch')}: {said}; "
        "install another version of torch, or a newer tunesmith."
    )


def test_an_object_that_was_made_without_it_has_it_not():
    with pytest.raises(LibraryError, match="Kind has no '_made'"):
        require("torch", Kind.__new__(Kind), "_made")
    with pytest.raises(LibraryError, match="Kind has no '_declared'"):
        require("torch", Kind, "_declared")


def test_only_what_is_there_can_be_assigned():
    made = Kind()
    assign("torch", made, "_made", 5)
    assign("torch", made, "_there", 6)
    assert (made._made, made._there, Kind._there) == (5, 6, 1)
    with pytest.raises(LibraryError, match="'_gone'"):
        assign("torch", made, "_gone", 7)
    assert not hasattr(made, "_gone")


def test_only_items_that_are_there_can_be_set():
    counts = {"ready": 1, "done": 1}
    update("torch", "progress", counts, ready=2)
    with pytest.raises(LibraryError, match="progress has no 'started'"):
        update("torch", "progress", counts, ready=3, started=3)
    assert counts == {"ready": 2, "done": 1}
    with pytest.raises(LibraryError, match="progress has no 'x'"):
        require_keys("torch", "progress", counts, "ready", "x")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from torch.nn import Gone", "cannot import name 'Gone' from 'torch.nn'"),
        ("import torch.gone", "No module named 'torch.gone'"),
    ],
)
def test_imports_that_fail_are_said_with_the_version(line, said):
    with pytest.raises(LibraryError) as caught, imported("torch"):
        exec(line)
    assert f"but got {version('torch')}: {said}; install" in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


def test_other_errors_come_out_as_they_are():
    with pytest.raises(KeyError), imported("torch"):
        raise KeyError("x")
    with imported("torch"):
        assert SimpleNamespace
