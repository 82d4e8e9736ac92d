from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.modality import base
from tunesmith.modality.base import Modality, modalities, of
from tunesmith.modality.image import ImagePreprocess
from tunesmith.modality.text import TextPreprocess

PREPROCESS = {"image": ImagePreprocess(), "text": TextPreprocess("m", "/models/m", "d", 8, 30)}


def test_a_modality_is_a_module_and_nothing_else():
    files = {p.stem for p in Path(base.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert set(modalities()) == files == set(PREPROCESS)
    for name in modalities():
        assert isinstance(of(name), Modality) and of(name).name == name == PREPROCESS[name].modality


def test_there_is_no_other():
    for name in ("images", "base"):
        with pytest.raises(ConfigError, match=f"Expected a modality but got '{name}'"):
            of(name)


@pytest.mark.parametrize("name", ["image", "text"])
def test_a_backbone_of_another_modality_is_refused(name):
    other = next(iter(set(PREPROCESS) - {name}))
    assert of(name).own(PREPROCESS[name]) is PREPROCESS[name]
    with pytest.raises(ConfigError, match=f"a backbone for {name}s but got one for {other}s; use backbone="):
        of(name).own(PREPROCESS[other])


@pytest.mark.parametrize("name", ["image", "text"])
def test_what_is_recorded_is_what_inputs_depend_on(name):
    """The modality's own name is none of it: cache keys and run folders are as they were."""
    assert set(asdict(PREPROCESS[name])) == {field.name for field in fields(PREPROCESS[name])}
    assert "modality" not in asdict(PREPROCESS[name])
