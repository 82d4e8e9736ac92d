"""Record what a run ran on: code, packages, hardware."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from tunesmith.run.record.schema import Hardware, Record

_PACKAGES = (
    *("tunesmith", "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "torchmetrics", "wandb", "timm"),
    *("scikit-learn", "numpy", "pandas", "pillow"),
    *("transformers", "tokenizers", "peft", "datasets", "seqeval", "sacrebleu", "rouge-score"),
)


def git() -> dict[str, str | None]:
    """Return the current checkout's commit and a digest of its uncommitted changes; ``None`` outside one."""
    commit = _git("rev-parse", "HEAD")
    diff = _git("diff", "HEAD") if commit else None
    digest = hashlib.blake2b(diff.encode(), digest_size=8).hexdigest() if diff else None
    return {"commit": commit, "dirty": digest}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip() or None


def packages() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change results."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> Hardware:
    """Return processor, cores, threads, memory in GiB and accelerators."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    accelerators = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        accelerators.append("mps")
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory, 1),
        "accelerators": accelerators,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def changed(record: Record) -> dict[str, tuple[object, object]]:
    """Return what differs in code, versions and hardware from a run's record: then and now, by name."""
    before = _flat(record["packages"], record["hardware"], record.get("git") or {})
    now = _flat(packages(), hardware(), git())
    names = {**before, **now}
    return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}


def _flat(
    packages: Mapping[str, str], hardware: Mapping[str, object], git: Mapping[str, str | None]
) -> dict[str, object]:
    code = [str(git.get("commit"))[:12], f"changed ({git['dirty']})" if git.get("dirty") else ""]
    parts = ("processor", "cores", "threads", "accelerators")
    return {**packages, "code": " ".join(filter(None, code)), **{name: hardware.get(name) for name in parts}}
