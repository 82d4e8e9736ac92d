from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith.target
from tunesmith.errors import ConfigError
from tunesmith.target import base
from tunesmith.target.base import DENSE, Target, kinds, of


def test_a_kind_is_a_module_and_nothing_else():
    files = {p.stem for p in Path(base.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert set(kinds()) == {name.removesuffix("_") for name in files} and len(files) >= 8


@pytest.mark.parametrize("name", kinds())
def test_every_kind_says_what_people_are_shown(name):
    target = of(name)
    assert isinstance(target, Target) and target.name == name
    assert target.plural and target.loss and target.head
    assert of(name) is target


def test_there_is_no_other_kind():
    with pytest.raises(ConfigError, match=r"Expected a kind of target but got 'clas'.*class"):
        of("clas")
    for name in ("base", "table", "class_", "os"):
        with pytest.raises(ConfigError):
            of(name)


@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize("output_per", ["sample", "token", "pixel"])
def test_a_head_has_an_output_for_what_the_target_has_one_for(name, output_per):
    target = of(name)
    assert not list(target.head_mistakes("Mine", target.output_per))
    if output_per != target.output_per:
        (sentence,) = target.head_mistakes("Mine", output_per)
        assert re.search(f"for {name} targets but got Mine, which has one per {output_per}; use head=", sentence)


@pytest.mark.parametrize("name", kinds())
def test_a_dense_loss_is_for_every_kind_with_many_outputs_per_sample(name):
    target = of(name)
    assert target.fits((name,)) and not target.fits(())
    assert target.fits((DENSE,)) == (target.output_per != "sample")


def test_a_new_kind_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "tone.py").write_text("class Tone:\n    name = 'tone'\n\n\nTARGET = Tone()\n")
    monkeypatch.setattr(tunesmith.target, "__path__", [*tunesmith.target.__path__, str(tmp_path)])
    for cached in (kinds, of):
        cached.cache_clear()
    try:
        assert "tone" in kinds() and of("tone").name == "tone"
    finally:
        for cached in (kinds, of):
            cached.cache_clear()


def test_kinds_are_known_without_torch():
    """The comparison of runs asks for them, and starts in a second."""
    code = "from tunesmith.target.base import kinds, of; [of(k) for k in kinds()]"
    code = f"import sys; {code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", f"import torch; {code}"], check=False).returncode == 1
