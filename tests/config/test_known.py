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
    assert target in known.known(), "of other libraries, add it to OTHERS in tunesmith/config/known.py"


FUNCTIONS = ("tunesmith.task.optimization.schedule.", "tunesmith.run.logger.wandb_logger.")


@pytest.mark.parametrize("target", sorted(known.own()))
def test_ours_are_defined_where_they_are_named(target):
    """A name that is imported somewhere is no target: `tunesmith.run.record.record.write_text` would write files."""
    found, owner = source.resolve(target)
    assert owner is None
    assert f"{found.module.name}.{found.node.name}" == target
    assert isinstance(found.node, ast.FunctionDef if target.startswith(FUNCTIONS) else ast.ClassDef)


def test_only_what_is_shipped_counts(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("_target_: tunesmith.atomic.write_text\n")
    monkeypatch.chdir(tmp_path)
    assert "tunesmith.atomic.write_text" not in known.own.__wrapped__()


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
    names = [f"{module}.{name}" for module, names in known.OTHERS.items() for name in names.split()]
    assert len(names) + len(known.own()) == len(known.known())
