"""Training step of tunesmith against transformers' own Trainer: MiniLM, all layers, reviews, batch 32, float32, CPU.

Every side trains the same network on snippets of the same reviews with the same optimizer and clipping, each in a
process of its own and in turns. Texts are of unequal lengths, so the figure is texts a second over all steps but one;
without grouping, both sides see the same batches.

    make bench        # or: python tests/benchmark/text_step.py --rounds 2 --steps 25
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import transformers
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tunesmith.config.compose import compose
from tunesmith.run.assembly.allocator import keep_freed_memory
from tunesmith.run.assembly.assemble import Parts, assemble
from tunesmith.run.record.quiet import quiet

BATCH = 32
OVERRIDES = [
    *("data=reviews", f"data.batch_size={BATCH}", "data.drop_last=true", "backbone=transformers"),
    *("optimizer=adamw", "optimizer.lr=5e-5", "optimizer.weight_decay=0.01", "scheduler=constant", "policy=full"),
    *("trainer=cpu", "trainer.max_epochs=1", "+trainer.gradient_clip_val=1.0", "+trainer.limit_val_batches=0"),
    *("callback=none", "logger=none", "test=last", "cache=off"),
]
THEIRS, THEIRS_GROUPED = "transformers' Trainer", "transformers' Trainer, grouped by length"
OURS, OURS_GROUPED = "tunesmith, without grouping", "tunesmith, as it comes"
ASKED = {OURS: (THEIRS, 1.0), OURS_GROUPED: (OURS, 1.3)}


class Clock:
    """When the first step and the last one ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        self.ends.append(time.perf_counter())

    def rate(self) -> float:
        """Texts a second."""
        return BATCH * (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])


def parts(folder: str, *words: str) -> Parts:
    """Network and data as tunesmith makes them."""
    with quiet():
        pl.seed_everything(0, verbose=False)
        return assemble(compose("train", [*OVERRIDES, *words]), Path(folder), {})


def ours(folder: str, steps: int, grouped: bool) -> float:
    """Texts a second under Lightning's Trainer."""
    keep_freed_memory()  # as `tunesmith train` does
    found, clock = (
        parts(folder, f"data.group_by_length={grouped}", f"+trainer.limit_train_batches={steps + 1}"),
        Clock(),
    )
    callback = pl.Callback()
    callback.on_train_batch_end = lambda *_: clock.tick()
    found.trainer.callbacks.append(callback)
    with quiet():
        found.trainer.fit(found.task, datamodule=found.data)
    return clock.rate()


def theirs(folder: str, steps: int, grouped: bool) -> float:
    """Texts a second under transformers' Trainer."""
    data, clock = parts(folder, "data.group_by_length=false").data, Clock()
    source = data.preprocess.folder
    rows = data.indices["train"][[key.position for key in data.train_dataloader().sampler]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    encoded = tokenizer([data.table.samples[row][0] for row in rows])["input_ids"]
    samples = [{"input_ids": e, "labels": int(data.table.targets[r])} for e, r in zip(encoded, rows, strict=True)]

    class Ticking(transformers.TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.tick()

    arguments = transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        max_steps=steps + 1,
        learning_rate=5e-5,
        weight_decay=0.01,
        lr_scheduler_type="constant",
        train_sampling_strategy="group_by_length" if grouped else "sequential",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    transformers.Trainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(source, num_labels=2),
        args=arguments,
        train_dataset=samples,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        callbacks=[Ticking()],
    ).train()
    return clock.rate()


SIDES = {THEIRS: (theirs, False), OURS: (ours, False), THEIRS_GROUPED: (theirs, True), OURS_GROUPED: (ours, True)}


def apart(side: str, steps: int) -> float:
    """Measure a side in a process of its own."""
    command = [sys.executable, __file__, "--steps", str(steps), "--side", side]
    return float(
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    )


def main() -> None:
    """Measure in turns and print the table; exit code 1 where it is slower than asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=25, help="a round and side")
    arguments.add_argument("--side", choices=SIDES, help="measure one side, once, and print texts a second")
    options = arguments.parse_args()
    if options.side:
        run, grouped = SIDES[options.side]
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run(folder, options.steps, grouped)))
        return
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for side in track([side for _ in range(options.rounds) for side in SIDES], "Measuring"):
        rates[side].append(apart(side, options.steps))
    best = {side: max(found) for side, found in rates.items()}
    table = Table(title=f"Training step, MiniLM, all layers, {torch.get_num_threads()} threads")
    for heading in ("", "texts/s", "× their Trainer", "asked"):
        table.add_column(heading, justify="right" if heading else "left")
    for side, rate in best.items():
        goal = f"≥ {ASKED[side][1]:.1f} × {ASKED[side][0]}" if side in ASKED else ""
        table.add_row(side, f"{rate:.1f}", f"{rate / best[THEIRS]:.2f}", goal)
    Console().print(table)
    slow = [side for side, (other, goal) in ASKED.items() if best[side] < goal * best[other]]
    if slow:
        sys.exit(f"Slower than asked: {', '.join(slow)}.")


if __name__ == "__main__":
    main()
