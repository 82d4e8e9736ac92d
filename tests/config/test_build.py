"""Building objects from nodes."""

import pytest
from omegaconf import OmegaConf

from tunesmith.config.build import Node, accepts, build, resolved
from tunesmith.errors import DataError

HERE = "config_build_targets"
TARGETS = """
from tunesmith.errors import DataError
class Keep:
    def __init__(self, value, items=(), other=None):
        self.value, self.items, self.other = value, items, other
class Wrong:
    def __init__(self, value=0):
        raise DataError("Expected data.")
class Broken:
    def __init__(self, value=0):
        raise RuntimeError("boom")
"""


@pytest.fixture(autouse=True)
def targets(tmp_path, monkeypatch):
    (tmp_path / f"{HERE}.py").write_text(TARGETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TUNESMITH_ALLOW", HERE)


def node(name, **arguments):
    return {"_target_": f"{HERE}.{name}", **arguments}


def test_supplied_objects_arrive_as_they_are():
    thing = {"a": [object()]}
    built = build(OmegaConf.create(node("Keep", items=[1, {"b": 2}])), value=thing)
    assert built.value is thing
    assert built.items == [1, {"b": 2}]
    assert type(built.items) is list
    assert type(built.items[1]) is dict


def test_supplied_wins_and_nested_nodes_are_built_once():
    cfg = OmegaConf.create({"seed": 3, "node": node("Keep", value=node("Wrong"), other=node("Keep", value="${seed}"))})
    OmegaConf.set_struct(cfg, True)
    built = build(cfg.node, value=1)
    assert (built.value, built.other.value) == (1, 3)
    assert "value" in cfg.node


def test_a_node_is_resolved_once_and_never_again():
    cfg = OmegaConf.create({"seed": 3, "node": node("Keep", value="${seed}", other="\\${seed}", items=[{"a": 1}])})
    once = resolved(cfg.node)
    cfg.seed = 4
    built = build(once)
    assert (built.value, built.other, built.items) == (3, "${seed}", [{"a": 1}])
    assert build(once).items[0] is not built.items[0]
    assert build(once.having(value=5), items=()).value == 5 and once["value"] == 3
    assert resolved(None) == Node() and build(Node()) is None and not accepts(Node(), "value")


def test_our_errors_come_out_bare():
    with pytest.raises(DataError, match="Expected data"):
        build(node("Wrong"))
    with pytest.raises(DataError, match="Expected data"):
        build(node("Keep", value=node("Wrong")))
    with pytest.raises(RuntimeError, match="boom"):
        build(node("Broken"))


def test_empty_nodes_and_partials():
    assert build(None) is None
    assert build({}) is None
    partial = build(node("Keep", _partial_=True), value=1)
    assert partial(other=2).value == 1


def test_accepts():
    assert accepts(node("Keep"), "items")
    assert not accepts(node("Keep"), "total_steps")
    assert not accepts(None, "items")
    assert accepts({"_target_": "torch.optim.lr_scheduler.OneCycleLR"}, "total_steps")
    assert not accepts({"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}, "total_steps")
