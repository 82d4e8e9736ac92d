"""The list of known targets: whole, exact, and of nothing but what it says."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from tunesmith.config import known
from tunesmith.config.check import source
from tunesmith.config.find import package_conf

ROOT = Path(__file__).parents[2]
BASES = {
    "torch.optim": "torch.optim.Optimizer",
    "timm.optim": "torch.optim.Optimizer",
    "torch.optim.lr_scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "torch.nn": "torch.nn.Module",
    "timm.layers": "torch.nn.Module",
    "torchmetrics.classification": "torchmetrics.Metric",
    "torchmetrics.regression": "torchmetrics.Metric",
    "lightning.pytorch": "lightning.pytorch.Trainer",
    "lightning.pytorch.callbacks": "lightning.pytorch.Callback",
    "lightning.pytorch.loggers": "lightning.pytorch.loggers.Logger",
    "lightning.pytorch.profilers": "lightning.pytorch.profilers.Profiler",
    "lightning.pytorch.strategies": "lightning.pytorch.strategies.Strategy",
}


def named(folder, pattern):
    found = {}
    for path in sorted(folder.rglob(pattern)):
        for name in re.findall(r"_target_: *([\w.]+)", path.read_text(encoding="utf-8")):
            found.setdefault(name, path.name)
    return found


@pytest.mark.parametrize("target", named(package_conf(), "*.yaml"))
def test_what_a_shipped_configuration_names_is_known(target):
    assert target in known.TARGETS, "add it to tunesmith/config/known.py: one line in OWN"


@pytest.mark.parametrize("module", known.OWN)
def test_of_ours_only_what_is_shipped_is_listed(module):
    """What no configuration needs stays out: `tunesmith.run.atomic.write_text` writes files."""
    for name in known.OWN[module].split():
        assert f"{module}.{name}" in named(package_conf(), "*.yaml")
        found, owner = source.resolve(f"{module}.{name}")
        assert owner is None
        assert found.module.name == module
        functions = module in ("tunesmith.task.optimization.schedule", "tunesmith.run.logger.wandb_logger")
        assert isinstance(found.node, ast.FunctionDef if functions else ast.ClassDef)


@pytest.mark.parametrize("module", known.OTHERS)
def test_of_others_each_is_a_class_of_its_kind(module):
    owner, _, name = BASES[module].rpartition(".")
    base = getattr(importlib.import_module(owner), name)
    for each in known.OTHERS[module].split():
        kind = getattr(importlib.import_module(module), each)
        assert isinstance(kind, type), each
        assert issubclass(kind, base), each
        assert kind.__module__.partition(".")[0] == module.partition(".")[0], each


def test_no_name_is_listed_twice():
    names = [f"{m}.{n}" for part in (known.OWN, known.OTHERS) for m, ns in part.items() for n in ns.split()]
    assert len(names) == len(known.TARGETS)
