"""Write a search as a W&B Sweep: W&B's server chooses the values, and its agents run our command line."""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml  # type: ignore[import-untyped]  # it comes with OmegaConf, without stubs
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from tunesmith.config.redact import redact_override
from tunesmith.errors import ConfigError
from tunesmith.sweep.search.dimension import Dimension, dimensions
from tunesmith.sweep.search.space import parse

METHODS = {"Grid": "grid", "Random": "random", "Optuna": "bayes"}
"""W&B's name for each searcher's method."""


def sweep_yaml(
    flags: Sequence[str], overrides: Sequence[str], configs: Sequence[DictConfig], loader: ConfigLoader
) -> str:
    """Write a search for ``wandb sweep``.

    Args:
        flags: Flags of the command line, which each job gets.
        overrides: All overrides, in Hydra's syntax.
        configs: Configurations they compose to.
        loader: Hydra's config loader, which knows the options.

    Returns:
        YAML.

    Raises:
        ConfigError: Nothing is searched, or W&B cannot search it.
    """
    cfg, space = configs[0], parse(overrides, loader)
    found = dimensions(space)
    if not found:
        raise ConfigError("Expected a key to search but got none: such as tunesmith sweep-yaml head=linear,mlp.")
    searcher = str(cfg.sweep.searcher._target_).rpartition(".")[2]
    if searcher not in METHODS:
        raise ConfigError(f"Expected sweep=grid, random or optuna for a W&B Sweep, which knows no {searcher.lower()}.")
    _refuse(cfg.sweep.searcher, space.fixed, configs)
    method = METHODS[searcher]
    if method == "grid" and not all(dimension.values for dimension in found):
        method = "random"
    content: dict[str, object] = {
        "name": str(cfg.name),
        "program": "tunesmith",
        "method": method,
        "parameters": {dimension.key: _parameter(dimension) for dimension in found},
        "command": ["tunesmith", "train", *flags, *space.fixed, "logger.wandb.mode=online", "${args_no_hyphens}"],
    }
    if method != "grid" and "jobs" in cfg.sweep.searcher:
        content["run_cap"] = cfg.sweep.searcher.jobs
    wanted = cfg.sweep.searcher.get("objectives") or {cfg.task.monitor: cfg.task.mode}
    for name, mode in wanted.items():
        if name is not None:
            goal = {"max": "maximize", "min": "minimize"}[mode]
            content["metric"] = {"name": name if name.startswith("test/") else f"best/{name}", "goal": goal}
    return str(yaml.safe_dump(content, sort_keys=False))


def _refuse(searcher: DictConfig, fixed: Sequence[str], configs: Sequence[DictConfig]) -> None:
    """Reject what W&B's server would search differently, and commands that its agents cannot run."""
    said = []
    sampler, pruner = searcher.get("sampler", "tpe"), searcher.get("pruner", "none")
    if sampler != "tpe":
        said.append(f"Expected sweep.searcher.sampler=tpe for a W&B Sweep, which knows no {sampler}, but got it.")
    if pruner != "none":
        said.append(
            f"Expected sweep.searcher.pruner=none for a W&B Sweep, which knows no {pruner} of ours, but got it."
        )
    objectives = searcher.get("objectives") or {}
    if len(objectives) > 1:
        said.append(f"Expected one objective for a W&B Sweep, which knows no more, but got {', '.join(objectives)}.")
    if any(mode not in ("max", "min") for mode in objectives.values()):
        said.append(f"Expected max or min for the objective but got {', '.join(map(str, objectives.values()))}.")
    if "seconds" in objectives:
        said.append("Expected a metric of the runs as the objective of a W&B Sweep but got seconds.")
    if any(OmegaConf.select(cfg, "logger.wandb") is None for cfg in configs):
        said.append(
            "Expected logger=wandb for a W&B Sweep, whose server reads the metric, but got a logger without it."
        )
    said += [
        f"Expected no secret in the command of a W&B Sweep, which its server keeps, but got '{redact_override(text)}': "
        "give it to the agents by their environment."
        for text in fixed
        if redact_override(text) != text
    ]
    if said:
        raise ConfigError(said)


def _parameter(dimension: Dimension) -> dict[str, object]:
    if dimension.values:
        return {"values": [_plain(text) for text in dimension.values]}
    prefix, whole = "log_" if dimension.log else "", dimension.whole
    shape = f"{'q_' if whole and prefix else 'int_' if whole else ''}{prefix}uniform"
    bounds = {"min": dimension.low, "max": dimension.high}
    return {"distribution": f"{shape}_values" if prefix else shape, **bounds, **({"q": 1} if whole and prefix else {})}


def _plain(text: str) -> object:
    """Parse numbers and booleans, so that W&B can order them; keep anything else in Hydra's syntax."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
