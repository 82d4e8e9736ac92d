import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tunesmith.data.module import TableData
from tunesmith.data.split.split import Split

FILES = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))


def test_every_source_has_a_file():
    own = {"digits", "image_folder", "image_table", "solar_cells", "synthetic", "torchvision_dataset"}
    texts = {
        "hf_dataset",
        "pair_table",
        "qa_table",
        "reviews",
        "synthetic_pairs",
        "synthetic_questions",
        "synthetic_tags",
        "synthetic_text",
        "text_files",
        "text_table",
        "token_table",
    }
    ready = {"cifar10", "cifar100", "dtd", "eurosat", "fashion_mnist", "flowers102", "food101", "mnist"}
    assert {f.stem for f in FILES} == own | texts | ready | {"oxford_iiit_pet"}


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
