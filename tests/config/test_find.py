"""Where configurations are looked for."""

import pytest

from tunesmith.config import find
from tunesmith.errors import ConfigError


def test_front_to_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find.conf_dirs() == [find.package_conf()]
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "extra").mkdir()
    assert find.conf_dirs(["extra"]) == [tmp_path / "extra", tmp_path / "conf", find.package_conf()]
    assert "data" in find.group_names([tmp_path / "conf"])


def test_the_packages_own_folder_counts_once(monkeypatch):
    monkeypatch.chdir(find.package_conf().parent)
    assert find.conf_dirs() == [find.package_conf()]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        find.conf_dirs([tmp_path / "nowhere"])


def test_commands():
    assert {"train", "evaluate", "predict"} <= set(find.commands())
    assert all(text.endswith(".") and len(text) < 100 for text in find.commands().values())
    with pytest.raises(ConfigError, match="Did you mean 'predict'"):
        find.require_command("predct")
