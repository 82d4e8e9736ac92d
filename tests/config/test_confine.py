"""A recorded run writes in its own folder alone."""

import contextlib

import pytest
from omegaconf import OmegaConf

from tunesmith.config.compose import compose
from tunesmith.config.confine import confine
from tunesmith.errors import ConfigError

OUT = [
    ("callback.checkpoint.dirpath", "/home/you/.ssh"),
    ("callback.checkpoint.dirpath", "elsewhere"),
    ("callback.checkpoint.dirpath", "{folder}/../other"),
    ("callback.checkpoint.dirpath", "{folder}/link"),
    ("callback.checkpoint.filename", "../../../best"),
    ("callback.checkpoint.filename", "/tmp/best"),
    ("callback.last.dirpath", "/"),
    ("logger.csv.save_dir", "~/x"),
    ("logger.csv.save_dir", "s3://bucket/x"),
    ("logger.csv.name", "../x"),
    ("logger.csv.version", "/x"),
    ("logger.csv.version", "~/x"),
    ("logger.csv.version", "a/../../x"),
    ("logger.csv.folder", "elsewhere"),
    ("logger.csv.log_path", "elsewhere"),
    ("logger.csv.path", "elsewhere"),
    ("logger.csv.dir", "elsewhere"),
    ("trainer.profiler.dirpath", "/x"),
    ("trainer.plugins.0.where", "https://x"),
]


@pytest.fixture
def recorded(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    cfg = compose("train", ["logger=[csv,tensorboard]", "callback=[default,early_stopping]"])
    cfg.paths.run = str(folder)
    OmegaConf.set_struct(cfg, False)
    return cfg


@pytest.mark.parametrize("place", ["run", "short", None])
def test_what_we_ship_stays_inside(place, recorded, tmp_path):
    (tmp_path / "run" / "latest").symlink_to("checkpoints")
    (tmp_path / "short").symlink_to("run")
    recorded.paths.run = place and str(tmp_path / place)
    confine(recorded)


@pytest.mark.parametrize(("key", "value"), OUT)
def test_what_leads_out_is_refused(key, value, recorded, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    value = value.format(folder=tmp_path / "run")
    if value.endswith("/link"):
        (tmp_path / "run" / "link").symlink_to(target)
    if key.startswith("trainer.plugins"):
        recorded.trainer.plugins = [{"where": value}]
        key = "trainer.plugins.where"
    else:
        OmegaConf.update(recorded, key, value, force_add=True)
    with pytest.raises(ConfigError, match="Expected") as caught:
        confine(recorded)
    assert any(key in mistake and value in mistake for mistake in caught.value.mistakes)


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints/last.ckpt", "plots"])
def test_links_out_of_the_folder_are_refused(name, recorded, tmp_path):
    (tmp_path / "run" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigError, match="link out of it"):
        confine(recorded)


@pytest.mark.parametrize(("target", "refused"), [("core-debug-20261122_193253.log", False), ("profile", True)])
def test_the_link_that_wandb_leaves_to_its_services_log_is_none(target, refused, recorded, tmp_path):
    logs = tmp_path / "run" / "wandb" / "offline-run" / "logs"
    logs.mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(tmp_path / target)
    with pytest.raises(ConfigError, match="link out of it") if refused else contextlib.nullcontext():
        confine(recorded)


def test_it_changes_nothing_and_reads_no_other_group(recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "run")
    recorded.logger.csv.save_dir = "here"  # in the run folder, where the process is
    recorded.logger.csv.pathology = recorded.logger.csv.note = "elsewhere"
    recorded.data.root = "/somewhere"
    del recorded["callback"]
    recorded.paths.run = None
    before = recorded.copy()
    with pytest.raises(ConfigError, match=r"logger\.csv\.save_dir"):  # of a folder that is still to be made
        confine(recorded)
    assert recorded == before
    recorded.paths.run = str(tmp_path / "run")
    confine(recorded)


def test_a_link_is_wandbs_by_its_name_and_by_where_it_leads(recorded, tmp_path):
    link = tmp_path / "run" / "other.log"
    link.symlink_to(tmp_path / "core-debug-20261122_193253.log")
    (tmp_path / "deep").mkdir()
    (tmp_path / "run" / "checkpoints" / "deep").symlink_to(tmp_path / "deep")
    with pytest.raises(ConfigError) as caught:
        confine(recorded)
    links = (tmp_path / "run" / "checkpoints" / "deep", link)
    assert all(any(f" {link} " in mistake for mistake in caught.value.mistakes) for link in links)
    assert len(caught.value.mistakes) == 2
