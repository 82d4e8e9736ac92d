"""The check of a composed configuration; test_main.py holds the table of wrong command lines."""

import pytest
from omegaconf import OmegaConf

from tunesmith.config.check.check import check, supplied
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def mistakes(cfg):
    with pytest.raises(ConfigError) as caught:
        check(cfg)
    return caught.value.mistakes


@pytest.fixture
def cfg():
    return compose("train", ["data=digits"])


def test_holds(cfg):
    before = OmegaConf.to_yaml(cfg)
    check(cfg)
    assert OmegaConf.to_yaml(cfg) == before


def test_the_run_folder_may_be_known(cfg):
    cfg.paths.run = "logs/x"
    check(cfg)


def test_missing_and_unknown_arguments(cfg):
    OmegaConf.set_struct(cfg, False)
    cfg.backbone = {"_target_": "tunesmith.head.mlp.MLP", "droput": 0.1}
    found = mistakes(cfg)
    assert "Did you mean 'backbone.dropout'" in found[0]
    assert "Expected backbone.feature_dim to be given, but it is missing: tunesmith.head.mlp.MLP needs it." in found


def test_partials_may_lack_arguments(cfg):
    OmegaConf.set_struct(cfg, False)
    cfg.loss = {"_target_": "tunesmith.head.mlp.MLP", "_partial_": True}
    check(cfg)
    cfg.loss._partial_ = False
    assert len(mistakes(cfg)) == 2


def test_positional_arguments_count(cfg):
    OmegaConf.set_struct(cfg, False)
    cfg.loss = {"_target_": "tunesmith.head.mlp.MLP", "_args_": [[1], [2]]}
    check(cfg)


def test_nested_nodes(cfg):
    cfg.data.split._target_ = "tunesmith.data.split.split.Splitt"
    assert "Did you mean 'Split'" in mistakes(cfg)[0]


def test_nodes_may_be_empty(cfg):
    OmegaConf.set_struct(cfg, False)
    cfg.scheduler = None
    cfg.callback.progress = None
    cfg.logger = {}
    check(cfg)


def test_one_wrong_value_is_one_mistake(cfg):
    cfg.seed = "zero"  # data.seed refers to it
    assert mistakes(cfg) == ["Expected seed to be int but got 'zero'."]


def test_interpolations_and_missing_values(cfg):
    cfg.optimizer.lr = "${nowhere}"
    cfg.tags = "???"
    found = mistakes(cfg)
    assert any(m.startswith("Expected optimizer.lr to have a value but got an error") for m in found)
    assert "Expected tags to be given, but it is missing: add 'tags=…'." in found


def test_a_target_that_is_no_class(cfg):
    cfg.loss._target_ = "not a path"
    assert "dotted path" in mistakes(cfg)[0]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("head", ("feature_dim", "num_outputs", "stage_dims", "map_info", "target", "lm_head")),
        ("loggers", ()),
        ("logger.x", ("folder", "record")),
        ("task.metrics", ()),
        ("x", ()),
    ],
)
def test_supplied(path, names):
    assert supplied(path) == names


PHASED = "policy.phases=[{train: [head], epochs: 1, optimizer: %s, scheduler: %s}, {train: [all]}]"


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "words"),
    [
        ("{lr: 1e-3}", "{}", None),
        (
            "{_target_: torch.optim.SGD, lr: 1e-3, momentum: 0.9}",
            "{_target_: tunesmith.task.optimization.schedule.constant}",
            None,
        ),
        ("null", "{warmup: 0.1}", None),
        ("{lrr: 1e-3}", "{}", "policy.phases.0.optimizer.lrr'. Did you mean 'policy.phases.0.optimizer.lr'"),
        ("{momentum: 0.9}", "{}", "policy.phases.0.optimizer.momentum"),
        ("{lr: fast}", "{}", "policy.phases.0.optimizer.lr to be float"),
        ("{_target_: torch.optim.Adem}", "{}", "there is no 'Adem' in 'torch.optim'"),
        ("{params: []}", "{}", "policy.phases.0.optimizer.params to be left out"),
        ("{}", "{total_steps: 3}", "policy.phases.0.scheduler.total_steps to be left out"),
        ("{}", "{_target_: torch.optim.lr_scheduler.StepLR}", "policy.phases.0.scheduler.step_size to be given"),
    ],
)
def test_optimizers_and_schedules_of_phases(optimizer, scheduler, words):
    cfg = compose("train", [PHASED % (optimizer, scheduler)])
    before = OmegaConf.to_yaml(cfg)
    if words is None:
        check(cfg)
    else:
        (mistake,) = mistakes(cfg)
        assert words in mistake
    assert OmegaConf.to_yaml(cfg) == before
