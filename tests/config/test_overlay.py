from __future__ import annotations

from omegaconf import OmegaConf

from tunesmith.config.overlay import overlaid


def test_a_copy_gets_the_values_and_the_original_keeps_its_own():
    cfg = OmegaConf.create({"a": {"b": 1, "c": "${a.b}"}, "d": {"e": 2}})
    OmegaConf.set_struct(cfg, True)
    OmegaConf.set_readonly(cfg, True)
    found = overlaid(cfg, {"a.b": 5, "d": {"f": 3}, "g.h": None})
    assert OmegaConf.to_container(found, resolve=True) == {"a": {"b": 5, "c": 5}, "d": {"f": 3}, "g": {"h": None}}
    assert OmegaConf.to_container(cfg, resolve=True) == {"a": {"b": 1, "c": 1}, "d": {"e": 2}}


def test_a_node_still_knows_the_rest_of_its_configuration():
    cfg = OmegaConf.create({"seed": 3, "data": {"seed": "${seed}", "batch_size": 8}})
    assert dict(overlaid(cfg.data, {"batch_size": 2}).items()) == {"seed": 3, "batch_size": 2}
