"""A process that fills and reads an entry of the store; `test_processes.py` starts several, and kills some.

Run as: python writer.py FOLDER JOBS, where each line on standard input, "write", "tear" or "read", forks one process
that does so until it is killed, or has done JOBS, which it says; its number is printed. A reader says what is torn.
Only reads of files that are there count. With UNLOCKED in the environment every lock of a file is granted to everybody.
After "hold" a process reads all of the entry, and says that it holds it until it is killed; "copy" holds a copy.
"""

from __future__ import annotations

import fcntl
import os
import random
import sys
import time
from pathlib import Path

import torch

from tunesmith.cache.shard import write
from tunesmith.cache.store import Layout, Store

SHARDS, ROWS = 3, 32


def tensors(value: float) -> dict[str, torch.Tensor]:
    """What a writer writes: one number everywhere, so that two of them in one file are seen."""
    return {"stage2": torch.full((ROWS, 16, 8, 8), value), "stage_features.0": torch.full((ROWS, 16), value)}


def work(folder: Path, what: str, jobs: int) -> None:
    layout, entry = Layout(SHARDS * ROWS, ROWS), Store(folder).entry({"rows": SHARDS * ROWS})
    entry.prepare()
    done = 0
    while done < jobs:
        shard = random.randrange(SHARDS)
        there = entry.path(shard).exists()  # before it is opened: else one that has just come would count as torn
        done += what != "read" or there
        if what == "write":
            entry.save(shard, tensors(random.random()))
        elif what == "tear":  # as one would without care: into its place, piece by piece
            aside = folder / f"{os.getpid()}.aside"
            write(aside, tensors(random.random()))
            with entry.path(shard).open("wb") as file:
                file.write(aside.read_bytes())
        else:
            found = entry.open(shard, layout)
            whole = found is not None and all(bool((t == t.flatten()[0]).all()) for t in found.tensors.values())
            if there and not whole:
                print("torn", flush=True)
    print("done", flush=True)


def hold(folder: Path, copied: bool) -> None:
    whole, _ = Store(folder).entry({"rows": SHARDS * ROWS}).load(Layout(SHARDS * ROWS, ROWS))
    held = [t.clone() if copied else t for shard in whole.values() for t in shard.tensors.values()]
    print(f"held {sum(float(t.sum()) for t in held)}", flush=True)
    time.sleep(600)


def main() -> None:
    if "UNLOCKED" in os.environ:
        fcntl.flock = fcntl.lockf = lambda *_: None
    folder, jobs = Path(sys.argv[1]), int(sys.argv[2])
    for line in sys.stdin:
        child = os.fork()
        if not child:
            random.seed(os.getpid())
            what = line.strip()
            hold(folder, what == "copy") if what in ("hold", "copy") else work(folder, what, jobs)
            os._exit(0)
        print(f"started {child}", flush=True)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break


if __name__ == "__main__":
    main()
