"""Hydra's application on our terms."""

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from tunesmith.config import find
from tunesmith.config.hydra import app
from tunesmith.errors import ConfigError


def test_our_folders_go_in_front(tmp_path):
    hydra = app.start("train", [tmp_path, find.package_conf()])
    paths = [source.path for source in hydra.config_loader.get_sources()]
    assert paths.index(str(tmp_path)) < paths.index(str(find.package_conf()))


@pytest.mark.parametrize(
    "error", [ConfigCompositionException("a\n\tb\n"), InterpolationKeyError("a b"), ValueError("a b")]
)
def test_their_errors_become_one_sentence(error):
    with pytest.raises(ConfigError, match=r"^a b\.$"), app.translated():
        raise error


def test_other_errors_stay():
    with pytest.raises(RuntimeError), app.translated():
        raise RuntimeError


def test_sentence_leaves_out_the_search_path():
    text = "In 'train': Could not load 'x'.\n\nConfig search path:\n\tprovider=hydra, path=pkg://hydra.conf"
    assert app.sentence(ConfigCompositionException(text)) == "In 'train': Could not load 'x'."


def test_settled_copies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hydra = app.start("train", find.conf_dirs())
    cfg = app.load(hydra, "train", ["+tags=[x,'${hydra:runtime.choices.data}']"])
    settled = app.settled(cfg)
    assert (settled.name, settled.tags) == ("synthetic", ["x", "synthetic"])
    assert "hydra" in cfg
    assert OmegaConf.to_container(cfg)["name"] == "${hydra:runtime.choices.data}"
    assert app.settled(settled) == settled
