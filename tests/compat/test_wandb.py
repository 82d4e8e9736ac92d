import runpy
from types import SimpleNamespace

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from tunesmith.compat import wandb as ours
from tunesmith.errors import LibraryError


def test_a_version_without_the_message_is_refused(refused):
    refused(ours, "wandb", wandb_internal_pb2, "Record")


def test_a_version_without_the_setting_is_refused(monkeypatch):
    monkeypatch.setattr(wandb, "Settings", SimpleNamespace(model_fields={"x_disable_metadata": None}))
    with pytest.raises(LibraryError, match=rf"{wandb.__version__}: Settings has no 'x_disable_meta'"):
        runpy.run_path(ours.__file__)


def test_nothing_is_collected():
    found = ours.settings()
    assert found.x_disable_meta
    assert found.silent


def test_records_are_read():
    record = ours.record()
    record.run.run_id = "x"
    again = ours.record()
    again.ParseFromString(record.SerializeToString())
    assert again.run.run_id == "x"
