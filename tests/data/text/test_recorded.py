"""What tables of texts give is what they gave when all samples were Python objects in memory."""

import json
import os
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
recorded = runpy.run_path(str(HERE / "recorded.py"))
EXPECTED = json.loads((HERE / "recorded.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables")
    recorded["write"](path)
    return path


@pytest.mark.parametrize("case", recorded["CASES"])
def test_values_are_those_of_before(case, folder):
    data = recorded["made"](case, folder, Path(os.environ["SMALL_TEXTS"]))
    assert recorded["values"](data) == EXPECTED[case]
