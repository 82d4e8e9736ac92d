"""Every YAML that we ship composes and passes the check, whatever it is combined with by default."""

from pathlib import Path

import pytest

from tunesmith.config import find
from tunesmith.config.check.check import check
from tunesmith.config.compose import compose

CONF = find.package_conf()
NEEDED = {
    "evaluate": ["run=x"],
    "check": ["data.root=photos"],
    "predict": ["run=x", "input=y"],
    "compare": ["runs=x"],
    "command": ["run=x"],
    "reproduce": ["run=x"],
    "export": ["run=x"],
}
BESIDE = {
    "data/image_folder": ["data.root=photos"],
    "experiment/resnet50_feature_extraction": ["data.root=photos"],
    "data/image_table": ["data.file=labels.csv"],
    "data/text_table": ["data.file=texts.csv"],
    "data/text_files": ["data.file=texts"],
    "data/pair_table": ["data.file=pairs.csv"],
    "data/token_table": ["data.file=tags.conll"],
    "data/qa_table": ["data.file=questions.json"],
    "data/hf_dataset": ["data.file=saved"],
    "data/torchvision_dataset": ["data.name=SVHN"],
    "backbone/custom": ["backbone.net._target_=torch.nn.Identity", "backbone.stages={a: [b]}", "backbone.image_size=8"],
}
OPTIONS = sorted(p.relative_to(CONF).with_suffix("").as_posix() for p in CONF.glob("*/**/*.yaml"))
DEBUG = [o for o in OPTIONS if o.startswith("debug/")]
EXPERIMENTS = [o for o in OPTIONS if o.startswith("experiment/")]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", find.commands())
def test_root(command):
    check(compose(command, NEEDED.get(command, [])), command)


@pytest.mark.parametrize("option", OPTIONS)
def test_option(option):
    group, _, name = option.rpartition("/")
    check(compose("train", [f"{group}={name}", *BESIDE.get(option, [])]))


LATER = [pytest.param(experiment, marks=pytest.mark.long) for experiment in EXPERIMENTS[1:]]


@pytest.mark.parametrize("experiment", [EXPERIMENTS[0], *LATER])
@pytest.mark.parametrize("debug", DEBUG)
def test_debug_wins_over_an_experiment(debug, experiment):
    from omegaconf import OmegaConf

    words = [f"experiment={Path(experiment).name}", f"debug={Path(debug).name}", *BESIDE.get(experiment, [])]
    cfg = compose("train", words)
    check(cfg)
    overlay = OmegaConf.load(CONF / f"{debug}.yaml")
    for key, value in overlay.trainer.items():
        assert cfg.trainer[key] == value or OmegaConf.is_dict(value)


@pytest.mark.parametrize("option", [*OPTIONS, *find.commands()])
def test_header_says_what_it_is(option):
    lines = [x for x in (CONF / f"{option}.yaml").read_text().splitlines() if "@package" not in x]
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("option", DEBUG)
def test_debug_overlays_answer_a_question(option):
    assert "?" in (CONF / f"{option}.yaml").read_text().splitlines()[1]


def test_the_check_can_fail():
    from tunesmith.errors import ConfigError

    with pytest.raises(ConfigError):
        check(compose("train", ["++optimizer.lrr=1"]))
