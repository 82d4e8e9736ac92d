import pytest
from omegaconf import DictConfig, ListConfig, Node, OmegaConf

from tunesmith.compat import omegaconf

LOST = [
    *((Node, n) for n in ("_is_interpolation", "_is_missing", "_is_none", "_value")),
    *((Node, n) for n in ("_get_parent", "_key", "_set_parent", "_set_key")),
    (DictConfig, "_get_node"),
    (ListConfig, "_get_node"),
]


@pytest.mark.parametrize(("owner", "name"), LOST, ids=lambda v: getattr(v, "__name__", v))
def test_a_version_without_the_name_is_refused(refused, owner, name):
    refused(omegaconf, "omegaconf", owner, name)


def test_nodes_are_seen_as_they_are_written():
    cfg = OmegaConf.create({"a": "${b}", "b": 1, "none": None, "must": "???", "in": {"x": 2}, "to": "${in}", "l": [7]})
    node = {key: omegaconf.child(cfg, key) for key in cfg}
    assert {k: omegaconf.raw(n) for k, n in node.items() if k in ("a", "b", "must")} == {
        "a": "${b}",
        "b": 1,
        "must": "???",
    }
    assert omegaconf.child(cfg, "absent") is None
    assert omegaconf.raw(omegaconf.child(cfg.l, 0)) == 7
    assert [k for k, n in node.items() if omegaconf.is_reference(n)] == ["a", "to"]
    assert [k for k, n in node.items() if omegaconf.is_missing(n)] == ["must"]
    assert [k for k, n in node.items() if omegaconf.is_leaf(n)] == ["a", "none", "must", "to"]


def test_a_reference_tells_its_path():
    cfg = OmegaConf.create({"a": "${b.c}", "part": "x${b}", "call": "${oc.env:HOME}", "b": {"c": 1}, "none": None})
    found = {key: omegaconf.reference(cfg, key) for key in [*cfg, "absent"]}
    assert {key: path for key, path in found.items() if path is not None} == {"a": "b.c"}


def test_a_copy_resolves_as_the_original_does_and_is_another():
    cfg = OmegaConf.create({"one": 1, "node": {"x": "${one}", "y": "${.x}"}})
    copy = omegaconf.copied(cfg.node)
    copy.z = 3
    assert (copy.x, copy.y) == (1, 1)
    assert "z" not in cfg.node
    assert omegaconf.copied(cfg) == cfg
