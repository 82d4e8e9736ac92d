import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tunesmith.data.module import TableData
from tunesmith.data.split.split import Split

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tunesmith" / "data"
FILES = sorted((ROOT / "conf" / "data").glob("*.yaml"))


def test_every_source_has_a_file():
    """A source is a data module that says how it is loaded, in the module that it is named after."""
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(("tunesmith", "data", *path.relative_to(SOURCE).with_suffix("").parts))
        own = [value for value in vars(import_module(name)).values() if getattr(value, "__module__", "") == name]
        sources = [value for value in own if isinstance(value, type) and issubclass(value, TableData)]
        found |= {f"{name}.{source.__name__}" for source in sources if not inspect.isabstract(source)}
    assert len(found) > 10 and found == {yaml.safe_load(file.read_text())["_target_"] for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_file_names_arguments_that_exist_and_builds(file):
    node = yaml.safe_load(file.read_text())
    module, _, name = node.pop("_target_").rpartition(".")
    target = getattr(import_module(module), name)
    assert issubclass(target, TableData)
    bases = [base for base in target.__mro__ if issubclass(base, TableData)]
    known = {name for base in bases for name in inspect.signature(base.__init__).parameters}
    assert set(node) <= known
    assert node["split"].pop("_target_") == "tunesmith.data.split.split.Split"
    assert node["seed"] == "${seed}"
    if node.get("name") == "???":
        node["name"] = "SVHN"
    data = target(**node | {"split": Split(**node["split"]), "seed": 3})
    assert (data.seed, data.batch_size) == (3, 32)
