"""What the cache saves: whole processes of tunesmith against the textbook's loop, EfficientNet-Lite0, ELPV, CPU.

Both sides are timed from the start of the interpreter to its end, imports included, in wall time and in CPU time with
that of all child processes, which is the fairer one on a shared machine. Of the textbook's loop a part of an epoch is
measured, and ten epochs are so many images: 1,706 to train on and 262 to validate on in each, 656 to test on. So are
those of our partly frozen and our full training; the probes run from beginning to end.

    make bench        # or: python tests/benchmark/cache.py --threads 1 --images 128
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

TRAIN, VAL, TEST, EPOCHS, BATCH = 1706, 262, 656, 10, 32
TEXTBOOK = Path(__file__).with_name("textbook.py")
COMMON = [
    *("data=solar_cells", "data.augment=none", "backbone=timm", "backbone.weights=package:efficientnet_lite0"),
    *("trainer=cpu", "callback=quiet", f"trainer.max_epochs={EPOCHS}"),
]
RATES = [round(3e-3 * 0.7**i, 6) for i in range(12)]
FEW, MORE = 4, 64
"""Steps between which an image's time is taken; a dozen are lost in how long imports take, now and then."""
PR_SET_CHILD_SUBREAPER = 36
"""Of Linux's prctl: processes whose parent has ended become children of this one, and their CPU time is counted."""
HEADS = """
import sys, torch
from torch.utils.data import DataLoader, TensorDataset
data = TensorDataset(torch.randn({train}, 1280), torch.randint(0, 2, ({train},)))
held = TensorDataset(torch.randn({val}, 1280), torch.randint(0, 2, ({val},)))
for _ in range({runs}):
    head = torch.nn.Linear(1280, 2)
    optimizer = torch.optim.AdamW(head.parameters())
    for _ in range({epochs}):
        for x, y in DataLoader(data, 32, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(x), y).backward()
            optimizer.step()
        for x, y in DataLoader(held, 32):
            head(x)
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of CPU time."""

    wall: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Cost) -> Cost:
        return self + other * -1

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.wall * factor, self.cpu * factor)

    def over(self, other: Cost) -> tuple[float, float]:
        return self.wall / other.wall, self.cpu / other.cpu


class Bench:
    """Runs processes, each from its start to its end, with one store of the cache.

    Args:
        folder: What they write goes there.
        threads: Of torch, on both sides.
        images: That the textbook's loop is measured on.
    """

    def __init__(self, folder: Path, threads: int, images: int) -> None:
        self.folder = folder
        self.threads, self.images = threads, images
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TUNESMITH_CACHE": str(folder / "store")}

    def process(self, *command: str) -> tuple[Cost, str]:
        """What a process and all that it starts cost, and the last line that it prints."""
        before, start = children_cpu(), time.perf_counter()
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [sys.executable, *command], cwd=self.folder, env=self.environment, stdout=said, stderr=subprocess.STDOUT
            )
            wall = time.perf_counter() - start
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.wait()  # for what it left behind: a sweep's fork server, for one
            said.seek(0)
            lines = said.read().splitlines()
        if done.returncode:
            raise SystemExit("\n".join(lines[-20:]))
        return Cost(wall, children_cpu() - before), lines[-1] if lines else ""

    def ours(self, *overrides: str) -> Cost:
        """A training run, or a sweep of them."""
        return self.process("-m", "tunesmith", "train", *COMMON, *overrides)[0]

    def textbook(self, train: str, images: int) -> dict[str, Cost]:
        """Start, and an image in training and in evaluation, of the textbook's loop."""
        _, line = self.process(str(TEXTBOOK), "--train", train, "--images", str(images))
        return {name: Cost(*value) for name, value in json.loads(line).items()}

    def step(self, *overrides: str) -> tuple[Cost, Cost]:
        """Start, and an image in training, of ours: from a few steps and some more."""
        words = [*overrides, "test=null"]
        self.ours(*words, "trainer.max_steps=1")  # fills the cache
        few, more = (self.ours(*words, f"trainer.max_steps={steps}") for steps in (FEW, MORE))
        image = (more - few) * (1 / ((MORE - FEW) * BATCH))
        return few - image * (FEW * BATCH), image


def children_cpu() -> float:
    """Seconds of CPU of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ten_epochs(start: Cost, train: Cost, evaluate: Cost) -> Cost:
    """A whole run."""
    return start + train * (EPOCHS * TRAIN) + evaluate * (EPOCHS * VAL + TEST)


def measure(bench: Bench) -> list[tuple[str, tuple[float, float], float]]:
    """Rows: what, how many times as fast by wall and by CPU time, and how many were asked."""
    plain = bench.textbook("head", bench.images)
    loop = ten_epochs(plain["start"], plain["train"], plain["evaluate"])
    cold, warm = bench.ours("policy=linear_probe"), bench.ours("policy=linear_probe")
    rows = [("linear probe, cold", loop.over(cold), 7.0), ("linear probe, warm", loop.over(warm), 20.0)]

    frozen = cold - warm
    slots = f"sweep.slots={bench.threads}"  # so many jobs at once, each with one of the threads
    sweep = frozen + bench.ours("-m", "policy=linear_probe", slots, f"optimizer.lr={','.join(map(str, RATES))}")
    heads, _ = bench.process("-c", HEADS.format(train=TRAIN, val=VAL, runs=len(RATES), epochs=EPOCHS))
    floor = frozen + heads + bench.process("-c", "import tunesmith.run.train")[0]
    rows += [
        (f"{len(RATES)} probes, cold", (loop * len(RATES)).over(sweep), 60.0),
        ("the same, against a frozen pass, the heads alone and one import", floor.over(sweep), 0.5),
    ]

    plain = bench.textbook("last", bench.images)
    start, image = bench.step("policy=last_stages", "policy.stages=2")
    loop = ten_epochs(plain["start"], plain["train"], plain["evaluate"])
    rows.append(("last two stages, warm", loop.over(ten_epochs(start, image, image)), 4.0))

    plain = bench.textbook("all", bench.images // 2)
    _, image = bench.step("policy=full", "trainer.precision=bf16-mixed")
    rows.append(("all stages, decoded images, bf16: an image", plain["train"].over(image), 2.0))
    return rows


def main() -> None:
    """Measure, print the table; exit code 1 where something is slower than asked, by CPU time."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=1, help="of torch, on both sides")
    arguments.add_argument("--images", type=int, default=128, help="that the textbook's loop is measured on")
    options = arguments.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Bench(Path(folder), options.threads, options.images))
    table = Table(title=f"× textbook's loop, {EPOCHS} epochs, {options.threads} thread(s)")
    for heading in ("", "wall time", "CPU time", "asked"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, (wall, cpu), asked in rows:
        table.add_row(name, f"{wall:.3g}", f"{cpu:.3g}", f"≥ {asked:g}")
    Console().print(table)
    slow = [name for name, (_, cpu), asked in rows if cpu < asked]
    if slow:
        raise SystemExit(f"Slower than asked: {', '.join(slow)}.")


if __name__ == "__main__":
    main()
