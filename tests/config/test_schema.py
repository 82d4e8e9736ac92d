"""The root keys that have a type are those of the root files."""

import pytest
import yaml

from tunesmith.config import find
from tunesmith.config.check.check import root_signature


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "compare", "command", "check", "reproduce"])
def test_every_root_key_has_a_type(command):
    root = yaml.safe_load((find.package_conf() / f"{command}.yaml").read_text())
    keys = set(root) - {"defaults"}
    nodes = {"paths", "sweep"} if command == "train" else {"paths"}
    assert set(root_signature(command).parameters) == keys | nodes
