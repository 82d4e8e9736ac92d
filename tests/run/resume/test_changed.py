"""What is not as it was when a run began is refused with the difference, unless it is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tunesmith.config import yaml_file
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.record import metrics_log
from tunesmith.run.resume import changed, resume
from tunesmith.run.train import train
from tunesmith.task.base import Task


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, quick_below):
    """A run that was interrupted in its second epoch."""
    cfg = quick_below(tmp_path_factory.mktemp("interrupted"), "data.batch_size=32", "test=null", samples=80)
    training_step = Task.training_step

    def stepping(self, batch, number):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return training_step(self, batch, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Task, "training_step", stepping)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(cfg)
    (folder,) = (path.parent for path in Path(cfg.paths.logs).rglob("run.json"))
    return folder


@pytest.fixture
def folder(interrupted, tmp_path):
    return Path(shutil.copytree(interrupted, tmp_path / interrupted.name))


def typed(monkeypatch, folder, *words):
    """The configuration of a command line that goes on with a run."""
    words = [f"resume={folder}", *words]
    monkeypatch.setattr("tunesmith.run.resume.resume.typed", lambda: (words, {}))
    return compose("train", words)


def edit(folder, **sections):
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | sections))
    return record


def test_a_run_that_is_as_it_was_goes_on(folder, monkeypatch):
    """The negative control."""
    found = resume.find(typed(monkeypatch, folder))
    assert found.checkpoint is not None and not found.changes and not found.said


def test_another_configuration_is_refused_with_the_difference_unless_it_is_asked_for(folder, monkeypatch):
    with pytest.raises(RunError, match=r"got trainer.max_epochs 3 instead of 2: .*resume_force=true"):
        resume.find(typed(monkeypatch, folder, "trainer.max_epochs=3"))
    before = edit(folder)["config_hash"]
    train(typed(monkeypatch, folder, "trainer.max_epochs=3", "resume_force=true"))
    record = edit(folder)
    assert any("max_epochs 3 instead of 2" in sentence for sentence in record["resumed"][0]["said"])
    assert record["status"] == "completed" and record["config_hash"] != before
    assert changed.edited(folder, record) == [] and yaml_file.read(folder / "config.yaml").trainer.max_epochs == 3
    assert max(row.get("epoch", 0) for row in metrics_log.read(folder)) == 2


@pytest.mark.parametrize("word", ["optimizer.lr=1", "policy=linear_probe", "seed=3", "backbone.width=8"])
def test_what_is_settled_cannot_be_changed_at_all(folder, monkeypatch, word):
    with pytest.raises(ConfigError, match=r"settled for the whole run, but got .*init_from"):
        resume.find(typed(monkeypatch, folder, word, "resume_force=true"))


def test_what_changes_nothing_and_what_is_unknown(folder, monkeypatch):
    assert not resume.find(typed(monkeypatch, folder, "trainer.max_epochs=2")).changes
    with pytest.raises(ConfigError, match="Expected a key of the run's own configuration"):
        resume.find(typed(monkeypatch, folder, "debug=limit", "resume_force=true"))


def test_an_edited_configuration_is_refused(folder, monkeypatch):
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("max_epochs: 2", "max_epochs: 4"))
    with pytest.raises(RunError, match=r"config.yaml that was edited"):
        resume.find(typed(monkeypatch, folder))
    assert resume.find(typed(monkeypatch, folder, "resume_force=true")).cfg.trainer.max_epochs == 4


def test_other_code_is_refused_and_another_machine_is_said(folder, monkeypatch):
    record = edit(folder)
    edit(folder, packages=record["packages"] | {"torch": "1.0"}, hardware=record["hardware"] | {"threads": 99})
    with pytest.raises(RunError, match=r"got torch \S+ instead of 1.0: start a new run"):
        resume.find(typed(monkeypatch, folder))
    said = resume.find(typed(monkeypatch, folder, "resume_force=true")).said
    assert any("torch" in sentence for sentence in said) and any("threads 99" in sentence for sentence in said)


def test_a_package_that_was_not_there_changes_nothing(folder, monkeypatch):
    record = edit(folder)
    packages = record["packages"]
    assert {"transformers", "tokenizers", "peft"} <= packages.keys()
    edit(folder, packages={name: version for name, version in packages.items() if name != "peft"})
    resume.find(typed(monkeypatch, folder))
    edit(folder, packages=packages | {"transformers": "1.0"})
    with pytest.raises(RunError, match=r"got transformers \S+ instead of 1.0"):
        resume.find(typed(monkeypatch, folder))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"data": {"fingerprint": "b", "members": {}}}, r"other data \(fingerprint b instead of a\)"),
        ({"data": {"fingerprint": "a", "members": {"val": "1"}}}, "other images in val"),
        ({"data": {"fingerprint": "a", "members": {"val": "0"}, "unlabelled": "c"}}, "other texts without labels"),
        ({"data": {"fingerprint": "a", "members": {"val": "0"}}, "init": {"hash": "y", "source": "x"}}, "weights of x"),
    ],
)
def test_other_data_and_other_initial_weights_are_refused(folder, monkeypatch, now, expected):
    edit(folder, data={"fingerprint": "a", "members": {"val": "0"}}, init={"hash": "x"})
    with pytest.raises(RunError, match=expected):
        resume.find(typed(monkeypatch, folder)).check(now)
    (said,) = resume.find(typed(monkeypatch, folder, "resume_force=true")).check(now)
    assert said.startswith("As asked, the run goes on with other")
