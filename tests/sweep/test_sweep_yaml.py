"""What is written for W&B is the same search, and its command is ours."""

from __future__ import annotations

import pytest
import yaml

from tunesmith import __main__ as program
from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError

WORDS = (
    "experiment=digits",
    "trainer.limit_val_batches=2",
    "head=linear,mlp",
    "head.dropout=choice(0.0,0.1)",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "optimizer.weight_decay=interval(0,1)",
    "trainer.max_epochs=int(interval(1,9))",
    "data.batch_size=tag(log,int(interval(8,64)))",
    "seed=range(0,4)",
)


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def write(*words):
        assert program.command_line(["sweep-yaml", *words]) == 0
        return yaml.safe_load(capsys.readouterr().out)

    return write


def test_the_same_space_with_our_command(written):
    found = written(*WORDS, "sweep=optuna", "sweep.searcher.jobs=7")
    assert found["parameters"] == {
        "head": {"values": ["linear", "mlp"]},
        "head.dropout": {"values": [0.0, 0.1]},
        "optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
        "optimizer.weight_decay": {"distribution": "uniform", "min": 0.0, "max": 1.0},
        "trainer.max_epochs": {"distribution": "int_uniform", "min": 1, "max": 9},
        "data.batch_size": {"distribution": "q_log_uniform_values", "min": 8, "max": 64, "q": 1},
        "seed": {"values": [0, 1, 2, 3]},
    }
    assert (found["method"], found["run_cap"], found["name"]) == ("bayes", 7, "digits")
    assert found["metric"] == {"name": "best/val/accuracy", "goal": "maximize"}
    program_, command, *words, last = found["command"]
    assert (program_, command, last) == ("tunesmith", "train", "${args_no_hyphens}")
    drawn = {key: each.get("values", [each.get("min")])[0] for key, each in found["parameters"].items()}
    cfg = compose("train", [*words, *(f"{key}={value}" for key, value in drawn.items())])
    check(cfg)
    assert (cfg.optimizer.lr, cfg.trainer.limit_val_batches, cfg.logger.wandb.mode) == (1e-4, 2, "online")


@pytest.mark.parametrize(
    ("words", "method"),
    [
        (("head=linear,mlp",), "grid"),
        (("optimizer.lr=interval(0,1)",), "random"),
        (("sweep=random", "seed=1,2"), "random"),
    ],
)
def test_the_method_follows_from_the_sweep(written, words, method):
    assert written(*words)["method"] == method


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Expected a key to search"),
        (("sweep=paired", "seed=1,2"), "which knows no paired"),
        (("haed=1,2",), "haed"),
        (("seed=1,2", "logger=none"), "Expected logger=wandb"),
        (("logger=wandb,csv",), "Expected logger=wandb"),
        (("seed=1,2", "sweep=cmaes"), "which knows no cmaes"),
        (("seed=1,2", "sweep=nsga2"), "which knows no nsga2"),
        (("seed=1,2", "sweep=nsga2", "sweep.searcher.sampler=tpe"), "but got val/loss, seconds"),
        (("seed=1,2", "sweep=optuna", "sweep.searcher.pruner=median"), "which knows no median"),
        (("seed=1,2", "sweep=optuna", "+sweep.searcher.objectives.seconds=min"), "but got seconds"),
        (("seed=1,2", "sweep=optuna", "sweep.searcher.objectives={val/loss: up}"), "max or min"),
    ],
)
def test_what_cannot_be_written_is_refused(written, words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        written(*words)


@pytest.mark.parametrize(("metric", "name"), [("val/loss", "best/val/loss"), ("test/loss", "test/loss")])
def test_one_objective_is_the_metric(written, metric, name):
    found = written("seed=1,2", "sweep=optuna", f"sweep.searcher.objectives={{{metric}: min}}")
    assert found["metric"] == {"name": name, "goal": "minimize"}


def test_a_preset_is_written_too(written):
    assert set(written("sweep=learning_rate", "sweep.searcher.pruner=none")["parameters"]) == {
        "optimizer.lr",
        "optimizer.weight_decay",
    }
