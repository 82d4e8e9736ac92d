from __future__ import annotations

import json

import pytest
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf

from tunesmith.errors import RunError
from tunesmith.run.record.record import Run
from tunesmith.run.record.run_folder import read


@pytest.fixture
def cfg(tmp_path):
    return OmegaConf.create(
        {
            "name": "x",
            "seed": 0,
            "tags": [],
            "api_key": "sesame",
            "paths": {"logs": str(tmp_path / "logs"), "run": None},
        }
    )


def test_the_record_is_there_from_the_start(cfg):
    run = Run(cfg, "train")
    assert read(run.folder)["status"] == "running"
    assert cfg.paths.run == str(run.folder)


def test_two_runs_in_one_second_have_folders_of_their_own(cfg):
    assert Run(cfg, "train").folder != Run(cfg, "train").folder


@pytest.mark.parametrize(
    ("error", "status"), [(None, "completed"), (ValueError("boom"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_it_says_how_it_ended(cfg, error, status):
    run = Run(cfg, "train")
    try:
        with run:
            if error:
                raise error
    except BaseException as caught:
        assert caught is error
    assert read(run.folder)["status"] == status


def test_secrets_stay_out_of_every_file(cfg):
    with pytest.raises(ValueError, match="sesame"), Run(cfg, "train") as run:
        raise ValueError("https://user:sesame@example.invalid refused")
    for path in run.folder.rglob("*"):
        assert "sesame" not in path.read_text(), path.name


def test_sections_are_updated_key_by_key(cfg):
    run = Run(cfg, "train")
    run.update(metrics={"a": 1.0})
    run.update(metrics={"b": 2.0})
    assert read(run.folder)["metrics"] == {"a": 1.0, "b": 2.0}


def test_a_folder_that_cannot_be_made_is_one_sentence(cfg, tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(RunError, match="Expected to create the run folder"):
        Run(cfg, "train")


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "run.json"), ("{", "JSON"), (json.dumps({"schema": 99}), "schema 1")]
)
def test_a_bad_record_is_one_sentence(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=sentence):
        read(tmp_path)


def test_other_ranks_share_the_folder_and_write_nothing(cfg, monkeypatch):
    first = Run(cfg, "train")
    before = {p: p.read_bytes() for p in first.folder.rglob("*")}
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setenv("TUNESMITH_RUN_FOLDER", str(first.folder))
    with Run(cfg, "train") as other:
        other.update(metrics={"a": 1.0})
        other.write("params.tsv", "x")
        other.say("x")
    assert other.folder == first.folder
    assert {p: p.read_bytes() for p in first.folder.rglob("*")} == before


def test_another_rank_that_dies_says_so(cfg, monkeypatch):
    first = Run(cfg, "train")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setenv("TUNESMITH_RUN_FOLDER", str(first.folder))
    with pytest.raises(ValueError, match="boom"), Run(cfg, "train"):
        raise ValueError("boom")
    record = read(first.folder)
    assert record["status"] == "failed"
    assert record["error"] == {"type": "ValueError", "message": "boom", "rank": "1"}


def test_a_rank_without_a_folder_is_one_sentence(cfg, monkeypatch):
    monkeypatch.delenv("TUNESMITH_RUN_FOLDER", raising=False)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with pytest.raises(RunError, match="trainer=ddp"):
        Run(cfg, "train")
