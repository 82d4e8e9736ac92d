"""Where a command cannot write, it says so before anything is imported."""

import shutil
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from tunesmith.config import output
from tunesmith.config.output import check_output
from tunesmith.errors import RunError


def looked_at(logs, resume=None, command="train"):
    check_output(OmegaConf.create({"paths": {"logs": str(logs)}, "resume": resume}), command)


def test_a_folder_that_can_be_made_will_do_and_is_left_to_be_made(tmp_path):
    looked_at(tmp_path / "a" / "b")
    looked_at("/nowhere", resume=str(tmp_path))
    looked_at("/proc/x", command="compare")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resume", [None, "auto"])
def test_a_file_in_its_place(tmp_path, resume):
    (tmp_path / "logs").touch()
    with pytest.raises(RunError, match="a file is in its place"):
        looked_at(tmp_path / "logs" / "x", resume)


def test_a_folder_that_takes_no_files():
    with pytest.raises(RunError, match=r"Expected to write into /proc/logs but got: .*\(/proc\)"):
        looked_at("/proc/logs")


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, output.LEAST - 1))
    with pytest.raises(RunError, match=r"at least 16 MiB of free disk at .* but got 16\.0"):
        looked_at(tmp_path)


def test_the_command_says_it_before_torch_is_imported(tmp_path):
    code = "import sys; from tunesmith.__main__ import command_line\ntry: command_line(sys.argv[1:])\n" + (
        "except SystemExit: raise\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "paths.logs=/proc/logs"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "Expected to write into /proc/logs" in done.stderr + done.stdout and "AssertionError" not in done.stderr
