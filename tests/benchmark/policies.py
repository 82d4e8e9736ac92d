"""Freeze policies on solar cells: EfficientNet-Lite0, split by cell, the recipe of experiment=solar_cells.

The minutes are those of CPU, of all cores together and without imports, which a busy machine changes least.

    make bench        # or: python tests/benchmark/policies.py --seeds 3 --logs logs/policies
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from runs import run, scores, share, spread

POLICIES = {
    # What is frozen for all time is computed once, from images as they are; so many more epochs cost seconds.
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


def row(records: list[dict[str, Any]]) -> list[str]:
    """Mean and standard deviation over seeds."""
    return [
        *scores(records, "accuracy", "macro_f1"),
        spread([r["metrics"]["test/auroc"] for r in records], ".3f"),
        f"{statistics.mean(r['timing']['cpu'] / 60 for r in records):.1f}",
        f"{share(records):.1f} %",
    ]


def main() -> None:
    """Run every policy with every seed and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--logs", type=Path, default=Path("logs/policies"))
    arguments.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    options = arguments.parse_args()
    records: dict[str, list[dict[str, Any]]] = {policy: [] for policy in options.policies}
    for policy, seed in track([(p, s) for s in range(options.seeds) for p in options.policies], "Training"):
        words = ["experiment=solar_cells", f"policy={policy}", *POLICIES[policy], f"seed={seed}"]
        records[policy].append(run(options.logs / f"{policy}-{seed}", *words))
    table = Table(title=f"656 test cells, {options.seeds} seeds, split by cell")
    for heading in ("policy", "accuracy", "macro F1", "AUROC", "CPU minutes", "trains"):
        table.add_column(heading, justify="left" if heading == "policy" else "right", no_wrap=True)
    for policy, of_policy in records.items():
        table.add_row(policy, *row(of_policy))
    Console().print(table)


if __name__ == "__main__":
    main()
