from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tunesmith.run.assembly.allocator import keep_freed_memory

# In a process of its own: the setting stays for good.
REUSED = """
import resource, sys
import torch
from tunesmith.run.assembly.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(5):
    torch.ones(16_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", REUSED, how], capture_output=True, check=True, text=True).stdout)


def test_freed_memory_is_used_again():
    if platform.libc_ver()[0] == "glibc":
        assert faults("keep") * 5 < faults("leave")
    else:
        assert keep_freed_memory() is False


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_it_does_nothing(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    assert keep_freed_memory() is False
