"""A disk of 4 MB that fills up, one that becomes read-only, and a kill at every system call of a save."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from killing import bits, configured, differing, go_on, killed

from tunesmith.config.output import check_output
from tunesmith.errors import RunError
from tunesmith.run.record import disk_space, process
from tunesmith.run.resume import checkpoint, resume
from tunesmith.run.resume.checkpoint import CheckpointIO
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST
from tunesmith.task.base import Task

# ── a small disk ────────────────────────────────────────────────────────────────────────────────────────────────────


class Mounted:
    """A file system of 4 MB of its own."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self):
        with contextlib.suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def protect(self):
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)

    def mend(self):
        subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)
        (self.folder / "ballast").unlink(missing_ok=True)


class Bounded:
    """Where nobody may mount: no file may grow beyond some kilobytes, and folders may not be written to."""

    def __init__(self, folder):
        self.folder = folder
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, self.before[0][1]))

    def protect(self):
        for place in (self.folder, *self.folder.rglob("checkpoints")):
            place.chmod(0o555)

    def mend(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before[0])
        signal.signal(signal.SIGXFSZ, self.before[1])
        for place in (self.folder, *self.folder.rglob("checkpoints")):
            place.chmod(0o755)


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tunesmith", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    disk = (Mounted if mounted else Bounded)(folder)
    yield disk
    disk.mend()
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("how", ["full, seen beforehand", "full, in the middle of a save"])
def test_a_disk_that_fails_in_a_run_costs_no_checkpoint(how, disk, monkeypatch, whole):
    with monkeypatch.context() as patched:
        if how != "full, seen beforehand" or isinstance(disk, Bounded):
            patched.setattr(disk_space, "check", lambda *a: None)
        folder = killed(configured(disk.folder), patched, (Task, "training_step"), 10, disk.fill, RunError)
    assert not list((folder / "checkpoints").glob(".*"))
    assert resume.choose(folder / "checkpoints")[1]["step"] == 8
    disk.mend()
    # There was no room to write that the run has ended, and its process is this one.
    monkeypatch.setattr(process, "alive", lambda recorded: False)
    go_on(folder)
    assert differing(bits(folder), whole("plain")) == []


def test_a_read_only_disk_is_told_before_the_run(disk):
    disk.protect()
    with pytest.raises(RunError, match=r"Expected .* but"):
        check_output(configured(disk.folder / "logs"), "train")


# ── a kill at every system call ─────────────────────────────────────────────────────────────────────────────────────


def state(step):
    return {"state_dict": {"x": torch.full((1000,), step)}, "global_step": step, "epoch": 0}


def save(folder, step):
    checkpoint.keep_as(folder / LAST, BEFORE)
    CheckpointIO().save_checkpoint(state(step), folder / LAST)


def check_one_holds(folder):
    chosen, entry, _ = resume.choose(folder)
    loaded = checkpoint.load(chosen)
    assert loaded["global_step"] == entry["step"] in (2, 3)
    assert torch.equal(loaded["state_dict"]["x"], state(entry["step"])["state_dict"]["x"])
    save(folder, 4)
    assert resume.choose(folder)[1]["step"] == 4
    return entry["step"]


def forked_save(folder, attach):
    """Save in a forked process, once somebody has attached to it; gives how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(30)
        with contextlib.suppress(BaseException):
            os.close(writing)
            os.read(reading, 1)
            attach(os.getpid(), True)
            save(folder, 3)
            os._exit(0)
        os._exit(1)
    os.close(reading)
    tracer = attach(child, False)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    if tracer is not None:
        tracer.communicate(timeout=20)
    return os.waitstatus_to_exitcode(status)


def strace(*options):
    """What attaches strace to a process, from outside."""

    def attach(pid, inside):
        if inside:
            return None
        tracer = subprocess.Popen(["strace", "-qq", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True)
        for _ in range(2000):
            traced = Path(f"/proc/{pid}/status").read_text()
            if re.search(r"TracerPid:\t[1-9]", traced) or tracer.poll() is not None:
                break
            time.sleep(0.005)
        return tracer

    return attach


def dies_at_audit(number):
    """Without strace: Python tells of what it opens, moves, links and removes."""

    def attach(pid, inside):
        if inside:
            left = number

            def hook(event, arguments):
                nonlocal left
                if event in ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "shutil.copyfile"):
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)

    return attach


def points(folder):
    """Ways to be killed: at every system call that one save makes, or at every call that Python tells of."""
    log = folder / "calls"
    may_trace = shutil.which("strace") and forked_save(folder, strace("-o", str(log))) == 0 and log.exists()
    if not may_trace:
        return [dies_at_audit(number) for number in range(1, 15)]
    seen, found = {}, []
    for line in log.read_text().splitlines():
        name = re.match(r"(\w+)\(", line)
        if name and name[1] not in ("read", "exit_group"):  # what it waits with, and what comes after the save
            seen[name[1]] = seen.get(name[1], 0) + 1
            inject = f"inject={name[1]}:signal=SIGKILL:when={seen[name[1]]}"
            found.append(strace("-o", os.devnull, "-e", f"trace={name[1]}", "-e", inject))
    return found


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_every_system_call_of_a_save_leaves_one_that_holds(tmp_path, monkeypatch):
    elsewhere = "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()
    monkeypatch.setenv("TMPDIR", elsewhere)
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert not Path("/dev/shm").is_dir() or Path(elsewhere).stat().st_dev != tmp_path.stat().st_dev
    first = tmp_path / "first"
    ends, steps = [], []
    for number, attach in enumerate([None, *points(prepared(first))]):
        if attach is not None:
            folder = prepared(tmp_path / str(number))
            ends.append(forked_save(folder, attach))
            steps.append(check_one_holds(folder))
            shutil.rmtree(folder)
    print(
        len(ends), "kills,", ends.count(-signal.SIGKILL), "of them before the end;", steps.count(2), "left the old one"
    )
    assert ends.count(-signal.SIGKILL) >= 10 and set(ends) <= {-signal.SIGKILL, 0}
    assert {2, 3} <= set(steps)


def prepared(folder):
    folder.mkdir()
    save(folder, 1)
    save(folder, 2)
    return folder


@pytest.mark.parametrize("number", range(1, 12))
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_every_file_call_of_a_save(number, tmp_path):
    folder = prepared(tmp_path / "checkpoints")
    assert forked_save(folder, dies_at_audit(number)) in (-signal.SIGKILL, 0)
    check_one_holds(folder)


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_in_the_first_save_leaves_the_run_at_its_start_or_one_that_holds(number, tmp_path):
    assert forked_save(tmp_path, dies_at_audit(number)) in (-signal.SIGKILL, 0)
    chosen, entry, _ = resume.choose(tmp_path)
    assert chosen is None or checkpoint.load(chosen)["global_step"] == entry["step"] == 3
    save(tmp_path, 4)
    assert resume.choose(tmp_path)[1]["step"] == 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_of_any_call_of_a_save_leaves_one_that_holds(call, code, tmp_path, monkeypatch):
    """What a disk may say at calls other than a write."""
    owner = os if call == "fsync" else Path
    original, calls = getattr(owner, call), []
    for at in range(1, 7):
        folder = prepared(tmp_path / str(at))
        calls.clear()

        def fails(*arguments, at=at):
            calls.append(arguments)
            if len(calls) == at:
                raise OSError(code, os.strerror(code))
            return original(*arguments)

        with monkeypatch.context() as patched, contextlib.suppress(RunError, OSError):
            patched.setattr(owner, call, fails)
            save(folder, 3)
        assert not list(folder.glob(".*"))
        check_one_holds(folder)
