"""Pretended jobs, in a folder of their own."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """What `pretend.py` defines; the present folder is the test's."""
    monkeypatch.chdir(tmp_path)
    path = Path(__file__).with_name("pretend.py")
    return SimpleNamespace(**runpy.run_path(str(path)), path=path)
