"""Freeze policies on solar cells: EfficientNet-Lite0, split by cell, the recipe of experiment=solar_cells.

Each run is a `tunesmith train` of its own, so that what is measured is what a user gets. Runs that are finished in the
folder of the logs are read, not repeated: the command can be stopped and typed again. The minutes are those of CPU, of
all cores together and without imports, which a busy machine changes least.

    make bench        # or: python tests/benchmark/policies.py --seeds 3 --logs logs/policies
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

COMMON = ["experiment=solar_cells", "logger=none", "callback.progress=null"]
POLICIES = {
    # What is frozen for all time is computed once, from pictures as they are; so many more epochs cost seconds.
    "linear_probe": ["data.augment=none", "rates=uniform", "optimizer.lr=3e-3", "trainer.max_epochs=30"],
    "lp_ft": [],
    "gradual": [],
    "first_frozen": [],
    "full": [],
    # Adapters and biases begin at zero or move little: a larger rate, the same at all depths.
    "lora": ["rates=uniform", "optimizer.lr=3e-3"],
    "bitfit": ["rates=uniform", "optimizer.lr=3e-3"],
    "surgical": [],
}


def finished(folder: Path) -> dict[str, Any] | None:
    """The record of the run below a folder that came to its end."""
    records = (json.loads(path.read_text()) for path in folder.rglob("run.json"))
    return next((record for record in records if record["status"] == "completed"), None)


def run(policy: str, seed: int, logs: Path) -> dict[str, Any]:
    """Train with a policy, or read the run that did."""
    folder = logs / f"{policy}-{seed}"
    record = finished(folder)
    if record is None:
        words = [*COMMON, f"policy={policy}", *POLICIES[policy], f"seed={seed}", f"paths.logs={folder}"]
        subprocess.run([sys.executable, "-m", "tunesmith", "train", *words], check=True, stdout=subprocess.DEVNULL)
        record = finished(folder)
    assert record is not None
    return record


def row(records: list[dict[str, Any]]) -> list[str]:
    """Mean and standard deviation over seeds."""

    def spread(values: list[float], form: str) -> str:
        deviation = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
        return f"{statistics.mean(values):{form}}{deviation}"

    percent = {name: [100 * r["metrics"][f"test/{name}"] for r in records] for name in ("accuracy", "macro_f1")}
    phases = [max(r["policy"]["phases"], key=lambda phase: phase["trainable"]) for r in records]
    share = [100 * phase["trainable"] / (phase["trainable"] + phase["frozen"]) for phase in phases]
    minutes = [r["timing"]["cpu"] / 60 for r in records]
    return [
        spread(percent["accuracy"], ".1f") + " %",
        spread(percent["macro_f1"], ".1f") + " %",
        spread([r["metrics"]["test/auroc"] for r in records], ".3f"),
        f"{statistics.mean(minutes):.1f}",
        f"{statistics.mean(share):.1f} %",
    ]


def main() -> None:
    """Run every policy with every seed and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--logs", type=Path, default=Path("logs/policies"))
    arguments.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    options = arguments.parse_args()
    jobs = [(policy, seed) for seed in range(options.seeds) for policy in options.policies]
    records: dict[str, list[dict[str, Any]]] = {policy: [] for policy in options.policies}
    for policy, seed in track(jobs, "Training"):
        records[policy].append(run(policy, seed, options.logs))
    table = Table(title=f"656 test cells, {options.seeds} seeds, split by cell")
    for heading in ("policy", "accuracy", "macro F1", "AUROC", "CPU minutes", "trains"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for policy, of_policy in records.items():
        table.add_row(policy, *row(of_policy))
    Console().print(table)


if __name__ == "__main__":
    main()
