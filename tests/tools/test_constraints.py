"""The tested versions: names and versions alone, of all that pyproject.toml asks for."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINE = re.compile(r'(?P<name>[a-z0-9-]+)(==[0-9a-z.]+|>=\d+\.\d+,<\d+\.\d+)(; python_version >= "3\.\d+")?')


def pinned():
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("constraints", ROOT / "tools" / "constraints.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_names_and_versions_and_nothing_else():
    names = [LINE.fullmatch(line)["name"] for line in pinned()]
    assert names == sorted(set(names)) and len(names) > 100
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton", "tunesmith"))]


def test_all_that_is_asked_for_is_tested_within_its_range():
    tomllib = pytest.importorskip("tomllib", reason="it came with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    found = {each.name: each.specifier for each in map(Requirement, pinned())}
    asked = [each for each in map(Requirement, listed) if each.name != "tunesmith"]
    assert len(asked) > 40
    for each in asked:
        version = next(iter(sorted(found[canonicalize_name(each.name)], key=str, reverse=True))).version
        assert each.specifier.contains(version), f"{each} against {version}"


def test_labels_of_builds_and_packages_of_torchs_are_left_out(tool, monkeypatch):
    installed = {
        "Torch": ("2.14.1+cpu", ">=3.10"),
        "tunesmith": ("0.1.0", ">=3.10"),
        "nvidia-cublas": ("13.1", None),
        "Some_Thing": ("1.0+local", None),
        "newer": ("2", "!=3.11.0,>=3.11"),
    }
    monkeypatch.setattr(tool, "metadata", lambda name: {"Requires-Python": ">=3.10"})
    monkeypatch.setattr(
        tool,
        "distributions",
        lambda: [
            SimpleNamespace(version=version, metadata={"Name": name, "Requires-Python": python})
            for name, (version, python) in installed.items()
        ],
    )
    assert list(tool.lines()) == ['newer==2; python_version >= "3.11"', "some-thing==1.0", "torch>=2.14,<2.15"]
