"""Lay values over a configuration, which stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf, flag_override


def overlaid(cfg: DictConfig, values: Mapping[str, object]) -> DictConfig:
    """Give a copy of a configuration with other values.

    Args:
        cfg: A configuration or a node of one.
        values: By dotted key; each takes the place of whatever stands there, also where nothing does.
    """
    copy = cfg.copy()
    with flag_override(copy, ["struct", "readonly"], False):
        for key, value in values.items():
            OmegaConf.update(copy, key, value, merge=False, force_add=True)
    return copy
