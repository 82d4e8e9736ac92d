"""What is not as it was when a run began is refused with the difference, unless it is asked for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tunesmith.config import yaml_file
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.record import metrics_log
from tunesmith.run.resume import changed, resume
from tunesmith.run.session import Session, Typed
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
    """The configuration of a command line that goes on with a run, and the session in which it is typed."""
    words = [f"resume={folder}", *words]
    return compose("train", words), Session(typed=Typed(tuple(words)))


def edit(folder, **sections):
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | sections))
    return record


def test_a_run_that_is_as_it_was_goes_on(folder, monkeypatch):
    """The negative control."""
    found = resume.find(*typed(monkeypatch, folder))
    assert found.checkpoint is not None and not found.changes and not found.said


def test_another_configuration_is_refused_with_the_difference_unless_it_is_asked_for(folder, monkeypatch):
    with pytest.raises(RunError, match=r"got trainer.max_epochs 3 instead of 2: .*resume_force=true"):
        resume.find(*typed(monkeypatch, folder, "trainer.max_epochs=3"))
    before = edit(folder)["config_hash"]
    cfg, session = typed(monkeypatch, folder, "trainer.max_epochs=3", "resume_force=true")
    train(cfg, session=session)
    record = edit(folder)
    assert any("max_epochs 3 instead of 2" in sentence for sentence in record["resumed"][0]["said"])
    assert record["status"] == "completed" and record["config_hash"] != before
    assert changed.edited(folder, record) == [] and yaml_file.read(folder / "config.yaml").trainer.max_epochs == 3
    assert max(row.get("epoch", 0) for row in metrics_log.read(folder)) == 2


@pytest.mark.parametrize("word", ["optimizer.lr=1", "policy=linear_probe", "seed=3", "backbone.width=8"])
def test_what_is_settled_cannot_be_changed_at_all(folder, monkeypatch, word):
    with pytest.raises(ConfigError, match=r"settled for the whole run, but got .*init_from"):
        resume.find(*typed(monkeypatch, folder, word, "resume_force=true"))


def test_what_changes_nothing_and_what_is_unknown(folder, monkeypatch):
    assert not resume.find(*typed(monkeypatch, folder, "trainer.max_epochs=2")).changes
    with pytest.raises(ConfigError, match="Expected a key of the run's own configuration"):
        resume.find(*typed(monkeypatch, folder, "debug=limit", "resume_force=true"))


def test_an_edited_configuration_is_refused(folder, monkeypatch):
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("max_epochs: 2", "max_epochs: 4"))
    with pytest.raises(RunError, match=r"config.yaml that was edited"):
        resume.find(*typed(monkeypatch, folder))
    assert resume.find(*typed(monkeypatch, folder, "resume_force=true")).cfg.trainer.max_epochs == 4


def test_other_code_is_refused_and_another_machine_is_said(folder, monkeypatch):
    record = edit(folder)
    edit(folder, packages=record["packages"] | {"torch": "1.0"}, hardware=record["hardware"] | {"threads": 99})
    with pytest.raises(RunError, match=r"got torch \S+ instead of 1.0: start a new run"):
        resume.find(*typed(monkeypatch, folder))
    said = resume.find(*typed(monkeypatch, folder, "resume_force=true")).said
    assert any("torch" in sentence for sentence in said) and any("threads 99" in sentence for sentence in said)


def test_a_package_that_was_not_there_changes_nothing(folder, monkeypatch):
    record = edit(folder)
    packages = record["packages"]
    assert {"transformers", "tokenizers", "peft"} <= packages.keys()
    edit(folder, packages={name: version for name, version in packages.items() if name != "peft"})
    resume.find(*typed(monkeypatch, folder))
    edit(folder, packages=packages | {"transformers": "1.0"})
    with pytest.raises(RunError, match=r"got transformers \S+ instead of 1.0"):
        resume.find(*typed(monkeypatch, folder))


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
        resume.find(*typed(monkeypatch, folder)).check(now)
    (said,) = resume.find(*typed(monkeypatch, folder, "resume_force=true")).check(now)
    assert said.startswith("Resuming with other")


def differing(monkeypatch, **changes):
    monkeypatch.setattr(changed.environment, "changed", lambda record: changes)


PACKAGES = ["tunesmith", "torch", "torchvision", "lightning", "torchmetrics", "timm"]
PACKAGES += ["transformers", "tokenizers", "peft"]


def test_versions_of_what_computes_count_and_of_nothing_else(monkeypatch):
    differing(monkeypatch, **dict.fromkeys([*PACKAGES, "wandb", "numpy", "threads"], ("1", "2")))
    assert changed.code({}) == [f"{name} 2 instead of 1" for name in PACKAGES]
    differing(monkeypatch, peft=(None, "2"), timm=("1", None))
    assert changed.code({}) == ["timm None instead of 1"]


def test_of_the_machine_what_sums_are_split_over_counts(monkeypatch):
    differing(monkeypatch, threads=(1, 2), accelerators=([], ["A"]), processor=("x", "y"), torch=("1", "2"))
    assert changed.machine({}) == [
        "The run began with threads 1 and resumes with 2: bits may differ.",
        "The run began with accelerators [] and resumes with ['A']: bits may differ.",
    ]


def test_differences_are_refused_or_said(tmp_path):
    assert changed.enforce(tmp_path, [], False) == changed.enforce(tmp_path, [], True) == []
    with pytest.raises(RunError, match=f"Expected {tmp_path.name} to resume as it began but got a; b: start a new run"):
        changed.enforce(tmp_path, ["a", "b"], False)
    assert changed.enforce(tmp_path, ["a", "b"], True) == [
        "Resuming with a, as asked: bits will differ.",
        "Resuming with b, as asked: bits will differ.",
    ]


NOW = {"data": {"fingerprint": "a", "members": {"train": "1", "val": "2"}}}


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"fingerprint": "a", "members": {"train": "1", "val": "2"}}, {}, []),
        ({"fingerprint": "a"}, {}, []),  # a run of before splits were recorded
        ({"members": {"train": "1", "val": "2"}, "unlabelled": "x"}, {}, []),  # … and of before fingerprints
        ({"fingerprint": "b", "members": {}}, {}, ["other data (fingerprint a instead of b)"]),
        (
            {"fingerprint": "a", "members": {"train": "0", "test": "3"}},
            {},
            ["other images in train and val and test"],
        ),
        ({"fingerprint": "a", "unlabelled": "x"}, {}, ["other texts without labels"]),
        (
            {"fingerprint": "b", "unlabelled": "x"},
            {},
            ["other texts without labels", "other data (fingerprint a instead of b)"],
        ),
        ({"fingerprint": "a"}, {"init": {"hash": "x", "source": "s"}}, []),
    ],
)
def test_how_data_differ(before, now, found):
    assert list(changed.data({"data": before}, NOW | now)) == found


def test_how_initial_weights_differ():
    record = {"data": {"fingerprint": "a"}, "init": {"hash": "x"}}
    assert list(changed.data(record, NOW)) == list(changed.data(record, NOW | {"init": {"hash": "x"}})) == []
    other = NOW | {"init": {"hash": "y", "source": "s"}}
    assert list(changed.data(record, other)) == ["other weights of s (hash y instead of x)"]


SETTLED = ["backbone", "policy", "rates", "head", "task", "optimizer", "scheduler"]
SETTLED += ["seed", "name", "init_from", "init_strict"]


def test_what_may_be_asked_for():
    cfg = OmegaConf.create({"a": {"b": 1, "c": "${x}"}, "x": 5, "experiment": "e", "debug": None, "seed": 0})
    words = ["resume=x", "+resume_force=true", "a.b=1", "++a=y", "x=5", "a.c=3"]
    assert changed.asked(cfg, words) == {"a.b": 1, "a": {"b": 1, "c": "${x}"}, "x": 5, "a.c": "${x}"}
    for word in ("experiment=x", "debug=y", "b=1", "a.b.c=1", "x.y=1", "~a.d"):
        with pytest.raises(ConfigError, match="Expected a key of the run's own configuration with resume but got"):
            changed.asked(cfg, [word])
    for name in SETTLED:
        for word in (f"{name}=1", f"+{name}.x=1"):
            with pytest.raises(ConfigError, match=rf"nothing about {name} with resume, .*but got {re.escape(word)};"):
                changed.asked(cfg, [word])


def test_what_is_asked_for_takes_the_place_of_what_was():
    cfg = OmegaConf.create({"a": {"b": 1, "c": 2}, "x": [1], "y": 3})
    OmegaConf.set_struct(cfg, True)
    assert changed.apply(cfg, {"y": 3, "x": [1], "a": {"b": 1, "c": 2}}) == (cfg, [])
    cfg, differences = changed.apply(cfg, {"y": 4, "x": [2], "a": {"b": 1}, "new": "z"})
    assert differences == ["y 4 instead of 3", "another x", "another a", "new z instead of None"]
    assert cfg == {"a": {"b": 1}, "x": [2], "y": 4, "new": "z"}


def test_a_configuration_has_one_hash_wherever_its_folder_lies(tmp_path):
    def saved(place, **more):
        plain = {"paths": {"run": place}, "policy": {"chosen": ["a"]}, "x": f"{place}/y", **more}
        return changed.hash_of_saved(plain)

    assert saved("/a") == saved("/b/c") != saved("/a", z="/a/other")
    cfg = OmegaConf.create({"paths": {"run": str(tmp_path)}, "policy": {"chosen": ["a"]}, "x": f"{tmp_path}/y"})
    now = changed.rewritten(tmp_path, cfg)
    assert now == saved("/a") and changed.edited(tmp_path, {"config_hash": now}) == []
    assert changed.edited(tmp_path, {"config_hash": "x"}) == ["a config.yaml that was edited since"]


def test_what_a_run_chose_by_gradients_was_not_there_when_it_began(tmp_path):
    plain = {"paths": {"run": str(tmp_path)}, "policy": {"chosen": None}, "x": "${paths.run}/y"}
    record = {"config_hash": changed.hash_of_saved(plain)}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(plain | {"policy": {"chosen": ["a"]}}))
    assert changed.edited(tmp_path, record) == ["a config.yaml that was edited since"]
    assert changed.edited(tmp_path, record | {"policy": {"gradients": {"a": 1.0}}}) == []
