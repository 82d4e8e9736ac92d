"""Finding definitions in files."""

import sys

import pytest

from tunesmith.config.check import source


def test_modules_are_found_without_importing_them():
    before = "xmlrpc.client" in sys.modules
    module = source.load("xmlrpc.client")
    assert module is not None
    assert "ServerProxy" in module.names
    assert ("xmlrpc.client" in sys.modules) == before


def test_absent_modules():
    assert source.load("no_such_package_anywhere") is None
    assert source.load("xmlrpc.nothing") is None


@pytest.mark.parametrize("name", ["math", "sys"])
def test_compiled_modules_cannot_be_read(name):
    with pytest.raises(source.UnreadableError):
        source.load(name)


def test_re_exports_are_followed():
    found, owner = source.resolve("torch.optim.AdamW")
    assert found.module.name == "torch.optim.adamw"
    assert owner is None


def test_import_cycles_end(tmp_path, monkeypatch):
    (tmp_path / "cycle_a.py").write_text("from cycle_b import *\n")
    (tmp_path / "cycle_b.py").write_text("from cycle_a import *\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = source.load("cycle_a")
    assert module is not None
    assert source.lookup(module, "nothing") is None
