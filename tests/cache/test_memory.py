"""Training from a cache that is larger than memory takes little of it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

READER = Path(__file__).with_name("reader.py")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_four_gigabytes_are_read_in_little_memory(tmp_path):
    """An epoch in random order; the negative control holds on to the pages."""
    reader = runpy.run_path(str(READER))
    entry, layout = reader["entry"](tmp_path), reader["LAYOUT"]
    entry.prepare()
    part = {"stage1": torch.rand(layout.per_shard, *reader["SHAPE"])}
    for shard in range(layout.shards):
        entry.save(shard, part)

    def most(how):
        done = subprocess.run(
            [sys.executable, str(READER), str(tmp_path), how], check=True, capture_output=True, text=True
        )
        return int(done.stdout)

    assert most("frugal") < 1.5e9 < 4e9 < most("ample")
