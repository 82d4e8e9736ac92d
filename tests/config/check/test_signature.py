"""Signatures read from the source must be those that importing gives."""

import importlib
import inspect
import subprocess
import sys

import pytest

from tunesmith.config.check import signature
from tunesmith.config.check.source import AbsentError

# Metrics take arguments through **kwargs, which inspect cannot see; the rest must be equal.
SAME = [
    "torch.optim.AdamW",
    "torch.optim.SGD",
    "torch.optim.Adam",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.MSELoss",
    "torch.optim.lr_scheduler.ReduceLROnPlateau",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.callbacks.EarlyStopping",
    "lightning.pytorch.callbacks.LearningRateMonitor",
    "lightning.pytorch.callbacks.RichProgressBar",
    "lightning.pytorch.callbacks.progress.rich_progress.RichProgressBarTheme",
    "tunesmith.modality.image.ImagePreprocess",
]


@pytest.mark.parametrize("target", SAME)
def test_equals_inspect(target):
    module, _, name = target.rpartition(".")
    wanted = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    read = signature.read(target)
    assert {n: p.required for n, p in read.parameters.items()} == {
        n: p.default is inspect.Parameter.empty for n, p in wanted.items()
    }
    assert not read.open


@pytest.mark.parametrize(
    "name", ["MulticlassAccuracy", "MulticlassF1Score", "MulticlassAUROC", "MulticlassCalibrationError"]
)
def test_keyword_arguments_are_followed_to_the_base(name):
    read = signature.read(f"torchmetrics.classification.{name}")
    assert {"num_classes", "ignore_index", "sync_on_compute"} <= set(read.parameters)
    assert not read.open


def test_nothing_is_imported():
    code = "import sys; from tunesmith.config.check.signature import read\n"
    code += "".join(f"read({t!r})\n" for t in SAME) + "assert not {'torch', 'lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("target", "missing", "valid"),
    [
        ("torch.nn.CrossEntropyLos", "torch.nn.CrossEntropyLos", "CrossEntropyLoss"),
        ("torch.optim.adamv.AdamW", "torch.optim.adamv", "adamw"),
        ("tork.Net", "tork", None),
        ("torch", "torch", None),
    ],
)
def test_absent(target, missing, valid):
    with pytest.raises(AbsentError) as caught:
        signature.read(target)
    assert caught.value.name == missing
    assert valid is None or valid in caught.value.valid


SOURCE = """
from __future__ import annotations
import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, overload
from . import base as base_module
from .base import Base as Renamed

class Forwards(Renamed):
    def __init__(self, own: int, **kwargs):
        super().__init__(fixed=1, **kwargs)

class Inherits(base_module.Base):
    pass

class Takes:
    def __init__(self, **kwargs):
        self.a = kwargs.pop("a", 1)
        self.b = kwargs.get("b")

class Open:
    def __init__(self, x, **kwargs):
        other(**kwargs)

class Nothing:
    pass

@dataclass
class Data:
    a: int
    d: list[int] = field(repr=False)
    b: str = "x"
    c: list[int] = field(default_factory=list)
    kind: ClassVar[int] = 3
    made: int = field(init=False, default=1)

@dataclasses.dataclass(repr=False)
class More(Data):
    e: int = 0

class Named:
    @classmethod
    def from_file(cls, path): ...
    @staticmethod
    def free(x, y=1): ...

def function(a, /, b, *rest, c, d=1): ...

alias = function

try:
    import nonexistent_package
    def optional(a): ...
except ImportError:
    def optional(b): ...

def made_at_run_time():
    return lambda q, r=1: None
lazy = made_at_run_time()
"""

BASE = "class Base:\n    def __init__(self, fixed, left, right=2): ...\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    (folder / "sample_pkg" / "inner").mkdir(parents=True)
    (folder / "sample_pkg" / "__init__.py").write_text("from .inner import *\nfrom sample_pkg.inner.mod import Data\n")
    (folder / "sample_pkg" / "inner" / "__init__.py").write_text("from .mod import function as starred\n")
    (folder / "sample_pkg" / "inner" / "mod.py").write_text(SOURCE)
    (folder / "sample_pkg" / "inner" / "base.py").write_text(BASE)
    sys.path.insert(0, str(folder))
    yield "sample_pkg.inner.mod"
    sys.path.remove(str(folder))


@pytest.mark.parametrize(
    ("name", "wanted", "is_open"),
    [
        ("Forwards", "own! left! right", False),
        ("Inherits", "fixed! left! right", False),
        ("Takes", "a b", False),
        ("Open", "x!", True),
        ("Nothing", "", False),
        ("Data", "a! d! b c", False),
        ("More", "a! d! b c e", False),
        ("Named.from_file", "path!", False),
        ("Named.free", "x! y", False),
        ("function", "a! b! c! d", False),
        ("alias", "a! b! c! d", False),
        ("optional", "a!", False),
        ("lazy", "q! r", False),
    ],
)
def test_kinds_of_definition(package, name, wanted, is_open, monkeypatch):
    monkeypatch.setenv("TUNESMITH_ALLOW", f"{package}.lazy")  # only importing it tells
    read = signature.read(f"{package}.{name}")
    assert " ".join(n + "!" * p.required for n, p in read.parameters.items()) == wanted
    assert read.open == is_open


def test_re_exports(package):
    assert set(signature.read("sample_pkg.starred").parameters) == {"a", "b", "c", "d"}
    assert signature.read("sample_pkg.Data") == signature.read(f"{package}.Data")
