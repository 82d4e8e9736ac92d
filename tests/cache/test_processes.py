"""Any number of processes write and read one entry, and are killed; nobody ever reads half a file."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tunesmith.cache import store
from tunesmith.cache.store import Layout, Store

WRITER = Path(__file__).with_name("writer.py")
LAYOUT = Layout(96, 32)


def start(folder, jobs):
    return subprocess.Popen(
        [sys.executable, str(WRITER), str(folder), str(jobs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def torn_reads(folder, writers, jobs=100):
    """Let writers and two readers loose on a cold store; count what was torn, and the processes that died of it."""
    process = start(folder, jobs)
    said, _ = process.communicate("\n".join([*writers, "read", "read"]) + "\n", timeout=120)
    return said.count("torn") + len(writers) + 2 - said.count("done")


@pytest.mark.parametrize("writers", [2, 4])
def test_nobody_reads_half_a_file(tmp_path, writers):
    assert torn_reads(tmp_path, ["write"] * writers) == 0


def test_without_care_somebody_does(tmp_path):
    """Negative control, and proof that what is torn is noticed."""
    assert torn_reads(tmp_path, ["tear", "tear"]) > 0


def private_bytes(process):
    """Memory that a process shares with nobody."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def test_jobs_that_read_one_entry_hold_it_in_memory_once(tmp_path):
    """Pages of a map are the page cache's; the negative control is a job that copies what it reads."""
    entry, size = Store(tmp_path).entry({"rows": 96}), 3 * 32 * 2**20
    entry.prepare()
    for shard in range(3):
        entry.save(shard, {"stage2": torch.ones(32, 2**18)})
    with start(tmp_path, 1) as process:
        process.stdin.write("hold\nhold\ncopy\n")
        process.stdin.flush()
        said = [process.stdout.readline().split() for _ in range(6)]
        children = [int(number) for word, number in said if word == "started"]
        try:
            one, other, copied = map(private_bytes, children)
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
    assert max(one, other) < 0.5 * size < size < copied


@pytest.mark.parametrize("writers", [2, 4])
def test_a_lock_that_everybody_is_granted_changes_nothing(tmp_path, monkeypatch, writers):
    """As on some network file systems."""
    monkeypatch.setenv("UNLOCKED", "1")
    assert torn_reads(tmp_path, ["write"] * writers) == 0


def test_no_lock_is_relied_on():
    for path in Path(store.__file__).parent.glob("*.py"):
        assert not re.search(r"flock|lockf|fcntl|filelock|\.lock\b", path.read_text())


def test_a_writer_killed_at_any_point_leaves_nothing_that_is_taken_for_whole(tmp_path, monkeypatch, caplog):
    entry, leavings = Store(tmp_path).entry({"rows": 96}), 0
    with start(tmp_path, 10**6) as process:
        for _ in range(20):
            process.stdin.write("write\n")
            process.stdin.flush()
            child = int(process.stdout.readline().split()[1])
            time.sleep(random.uniform(0.005, 0.05))
            os.kill(child, signal.SIGKILL)
            there, missing = entry.load(LAYOUT)
            assert len(there) + len(missing) == 3
            leavings += len(list(tmp_path.glob("*/.*.tmp")))
    assert "computed anew" not in caplog.text
    assert leavings > 0, "no kill came while a file was being written"
    monkeypatch.setattr(store, "LEFT_OVER", -1)
    Store(tmp_path).sweep_up()
    assert not list(tmp_path.glob("*/.*.tmp"))
