"""What a sweep adds to its jobs: twelve linear probes with a warm cache, one at a time.

`make bench` runs it. The budget is 25 s over the jobs' own time, from the first to the last word of each one's
run.json; imports, composing, checking, the launcher and the processes are what is added. Figures and W&B's end, about a
second of a job's own time, are shown apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

JOBS, BUDGET = 12, 25.0
PROBE = [*("data=digits", "backbone=tiny", "policy=linear_probe", "trainer=cpu"), *("trainer.max_epochs=5",)]


def tunesmith(folder: Path, *words: str) -> float:
    """Type a command line in a folder; gives its seconds."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "tunesmith", "train", *words], cwd=folder, check=True)
    return time.monotonic() - start


def own_seconds(folder: Path) -> list[tuple[float, float]]:
    """Of each job, the seconds of its run, and those of assembling, filling the cache, training and testing."""
    found = []
    for path in folder.rglob("run.json"):
        record = json.loads(path.read_text())
        start, end = (datetime.fromisoformat(record[key]) for key in ("started", "updated"))
        parts = sum(record["timing"].get(part, 0.0) for part in ("assemble", "cache", "fit", "test"))
        found.append(((end - start).total_seconds(), parts))
    return found


def main() -> None:
    """Warm the cache, run the sweep, run it again, and compare with the budget."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["TUNESMITH_CACHE"] = f"{name}/cache"
        folder = Path(name)
        tunesmith(folder, *PROBE, "paths.logs=warm", "seed=100")
        sweep = ["-m", *PROBE, f"seed=range(0,{JOBS})"]
        total = tunesmith(folder, *sweep)
        own = own_seconds(folder / "logs")
        again = tunesmith(folder, *sweep)
    runs, parts = (sum(times) for times in zip(*own, strict=True))
    added = total - runs
    print(f"{len(own)} jobs: {total:.1f} s, of which {runs:.1f} s are their runs; added {added:.1f} s")
    print(f"of the runs, {runs - parts:.1f} s are figures, records and W&B's end")
    print(f"the same command again, when all is done: {again:.1f} s")
    if len(own) != JOBS or added > BUDGET or again > 5:
        sys.exit(f"Expected at most {BUDGET:g} s added, and 5 s again.")


if __name__ == "__main__":
    main()
