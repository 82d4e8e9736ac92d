"""Composing outside the command line."""

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tunesmith.config import find
from tunesmith.config.check import overrides
from tunesmith.config.compose import compose
from tunesmith.config.hydra import app
from tunesmith.errors import ConfigError

EXPERIMENTS = sorted(path.stem for path in (find.package_conf() / "experiment").glob("*.yaml"))
WORDS = [
    *([f"experiment={name}"] for name in EXPERIMENTS),
    ["trainer.limit_train_batches=2", "+trainer.limit_val_batches=0.5", "++trainer.max_epochs=3", "~callback.progress"],
    ["data=digits", "backbone=tiny", "callback=[default,ema]", "optimizer.lr=1e-2", "seed=7", "tags=[a,b]"],
    ["policy=custom", "policy.phases=[{train: [head], epochs: 1}, {train: [all]}]", "name='a b'"],
    ["head._target_=tunesmith.head.mlp.Mlp", "head.dropout=0.1", "paths.logs=elsewhere"],
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_needs_hydra_no_more():
    cfg = compose("train", ["data=digits"])
    assert cfg.name == "digits"
    assert "hydra" not in cfg
    assert not GlobalHydra.instance().is_initialized()
    assert not HydraConfig.initialized()
    assert OmegaConf.to_container(cfg, resolve=True)["name"] == "digits"


def test_a_name_given_stays():
    assert compose("train", ["name=mine"]).name == "mine"


def test_arguments_that_the_yaml_does_not_list():
    assert compose("train", ["trainer.limit_train_batches=2"]).trainer.limit_train_batches == 2


def test_the_first_folder_wins(tmp_path):
    for name, rate in (("front", 1), ("conf", 2)):
        (tmp_path / name / "optimizer").mkdir(parents=True)
        (tmp_path / name / "optimizer" / "adam.yaml").write_text(f"_target_: torch.optim.Adam\nlr: {rate}.0\n")
    assert compose("train", ["optimizer=adam"]).optimizer.lr == 2
    assert compose("train", ["optimizer=adam"], ["front"]).optimizer.lr == 1


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["experiment=solar_cells"], "policy.stages", 3),
        (["experiment=solar_cells", "policy=first_frozen"], "policy.stages", 3),
        (["experiment=solar_cells", "policy=lora"], "policy.stages", None),
        (["experiment=solar_cells", "policy=lora", "policy.stages=1"], "policy.stages", 1),
        (["experiment=solar_cells", "policy=full"], "policy.phases", [{"train": ["all"]}]),
        (["experiment=solar_cells_paper", "policy=full"], "policy.phases", [{"train": ["all"]}]),
        (["experiment=reviews_minilm_lora", "policy=full"], "optimizer.lr", 1e-3),
        (["experiment=solar_cells", "callback=[default]"], "data.split.val", 0.05),
    ],
)
def test_what_an_experiment_sets_of_an_option_goes_with_it(words, key, value):
    found = OmegaConf.select(compose("train", words), key)
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == value


@pytest.mark.parametrize("times", [1, 2])
def test_what_goes_with_an_option_is_said_once_per_configuration(times, caplog):
    for _ in range(times):
        compose("train", ["experiment=pets_convnext", "policy=full", "data=digits"])
    assert caplog.messages == times * [
        "experiment/pets_convnext sets data.augment for data=oxford_iiit_pet: left out here.",
        "experiment/pets_convnext sets policy.probe_epochs for policy=lp_ft: left out here.",
    ]


def test_all_mistakes():
    with pytest.raises(ConfigError) as caught:
        compose("train", ["bacbone=tiny", "lr=1"])
    assert len(caught.value.mistakes) == 2


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_it_is_what_hydra_composes(words):
    composed = compose("train", words)
    dirs = find.conf_dirs([])
    hydra = app.start("train", dirs)
    ready = overrides.prepare(hydra, "train", words, dirs)
    theirs = app.alone(app.settled(app.load(hydra, "train", ready.overrides)))
    assert OmegaConf.to_yaml(composed) == OmegaConf.to_yaml(theirs)
