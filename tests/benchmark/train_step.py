"""Training step of tunesmith against a plain PyTorch loop: EfficientNet-Lite0, all layers, batch 32, 224 px, CPU.

Every side trains the same network on the same solar cells, each in a process of its own and in turns, so that the
machine's moods fall on all; the figure is the ratio of the median step times. The plain loops are what every tutorial
writes: NCHW, float32, one with the images already in memory, one that decodes each image whenever it is needed.

    make bench        # or: python tests/benchmark/train_step.py --rounds 4 --steps 8
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from lightning.pytorch import Callback, seed_everything
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import v2

from tunesmith.config.compose import compose
from tunesmith.run.assembly.allocator import keep_freed_memory
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record.quiet import quiet

NAME, BATCH = "tf_efficientnet_lite0", 32
OVERRIDES = [
    "data=solar_cells",
    "data.augment=none",
    "data.split.val=0",
    f"data.batch_size={BATCH}",
    "data.drop_last=true",
    "backbone=timm",
    f"backbone.name={NAME}",
    "backbone.weights=null",
    "callback=none",
    "test=last",
    "logger=none",
    "trainer=cpu",
    "trainer.max_epochs=1",
]
OURS = {
    "tunesmith, plain loop's settings": ["task.channels_last=false"],
    "tunesmith, as it comes": [],
    "tunesmith, trainer.precision=bf16-mixed": ["trainer.precision=bf16-mixed"],
}
EQUAL, DEFAULT, BF16 = OURS
PLAIN, TEXTBOOK = "plain loop, images in memory", "plain loop, images decoded as needed"


class Clock(Callback):
    """Time between ends of steps, the first left out: it builds things."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: Any) -> None:
        self.ends.append(time.perf_counter())

    def steps(self) -> list[float]:
        return [b - a for a, b in itertools.pairwise(self.ends)]


class Files(Dataset):
    """The textbook's dataset."""

    def __init__(self, paths: list[Path], targets: list[int]) -> None:
        self.paths, self.targets = paths, targets
        self.transform = v2.Compose(
            [
                v2.PILToTensor(),
                v2.Resize(224, interpolation=v2.InterpolationMode.BICUBIC),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.paths[i]).convert("RGB")), self.targets[i]


def ours(overrides: list[str], steps: int) -> list[float]:
    """Seconds of each step under the Trainer."""
    if overrides is not OURS[EQUAL]:
        keep_freed_memory()  # as `tunesmith train` does
    with tempfile.TemporaryDirectory() as folder, quiet():
        cfg = compose("train", [*OVERRIDES, *overrides, f"trainer.limit_train_batches={steps + 1}"])
        seed_everything(0, verbose=False)
        parts = assemble(cfg, Path(folder), {})
        clock = Clock()
        parts.trainer.callbacks.append(clock)
        parts.trainer.fit(parts.task, datamodule=parts.data)
        return clock.steps()


def plain(steps: int, in_memory: bool) -> list[float]:
    """Seconds of each step of the loop as every tutorial writes it."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        data = assemble(compose("train", OVERRIDES), Path(folder), {}).data
    rows = data.indices["train"][: BATCH * (steps + 1)]
    dataset = Files([data.table.samples[r] for r in rows], [int(data.table.targets[r]) for r in rows])
    if in_memory:
        dataset = TensorDataset(torch.stack([x for x, _ in dataset]), torch.tensor(dataset.targets))
    torch.manual_seed(0)
    model = timm.create_model(NAME, num_classes=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    loss_of = nn.CrossEntropyLoss()
    model.train()
    ends = []
    for images, targets in DataLoader(dataset, BATCH, shuffle=True, drop_last=True):
        optimizer.zero_grad()
        loss = loss_of(model(images), targets)
        loss.backward()
        optimizer.step()
        loss.item()
        ends.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(ends)]


SIDES: dict[str, Callable[[int], list[float]]] = {
    TEXTBOOK: lambda steps: plain(steps, in_memory=False),
    PLAIN: lambda steps: plain(steps, in_memory=True),
    **{name: functools.partial(ours, overrides) for name, overrides in OURS.items()},
}


def apart(side: str, steps: int) -> list[float]:
    """Run a side in a process of its own."""
    command = [sys.executable, __file__, "--steps", str(steps), "--side", side]
    last = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return json.loads(last)


def show(median: dict[str, float]) -> list[str]:
    """Print the table; give the sides that are slower than asked."""
    asked = {EQUAL: 1 / 1.05, DEFAULT: 1.4, BF16: 1.8}
    table = Table(title=f"Training step, {NAME}, all layers, {torch.get_num_threads()} threads")
    for heading in ("", "images/s", "× plain loop", "asked"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, value in median.items():
        goal = f"≥ {asked[name]:.2f}" if name in asked else ""
        table.add_row(name, f"{BATCH / value:.1f}", f"{median[PLAIN] / value:.2f}", goal)
    Console().print(table)
    return [name for name, goal in asked.items() if median[PLAIN] / median[name] < goal]


def main() -> None:
    """Measure in turns and print the table; exit code 1 where it is slower than asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=6, help="a round and side")
    arguments.add_argument("--side", choices=SIDES, help="measure one side, once, and print seconds as JSON")
    options = arguments.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.steps)))
        return
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in track(range(options.rounds), "Measuring"):
        for name in SIDES:
            seconds[name] += apart(name, options.steps)
    slow = show({name: statistics.median(times) for name, times in seconds.items()})
    if slow:
        raise SystemExit(f"Slower than asked: {', '.join(slow)}.")


if __name__ == "__main__":
    main()
