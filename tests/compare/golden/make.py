"""Make the golden runs and their table: python tests/compare/golden/make.py (about 2 minutes on 2 cores).

The runs are real ones on the digits, of which run.json is kept, without what names the machine. The table is computed
from them by pandas and scipy, and by nothing of tunesmith. Another version of torch may move a mean by 0.01; what a
comparison makes of the recorded runs has to agree with the recorded table to 1e-9 of each number.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from scipy import stats

HERE = Path(__file__).parent
TRAIN = [sys.executable, "-m", "tunesmith", "train", "experiment=digits", "name=golden", "trainer.max_epochs=2"]
QUIET = ["logger=none", "callback=quiet"]


def main() -> None:
    """Train, keep the records, and write the table."""
    shutil.rmtree(HERE / "runs", ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        sweep = ["-m", "head=linear,mlp", "optimizer.lr=1e-3,3e-3", "seed=range(0,4)"]
        subprocess.run([*TRAIN, *QUIET, *sweep], cwd=place, check=True)
        subprocess.run([*TRAIN, *QUIET, "data.split.val=0.9"], cwd=place, check=False)  # this one fails
        for path in sorted(Path(place).glob("logs/golden/*/run.json")):
            keep(path)
    table = tabulate([json.loads(path.read_text()) for path in sorted(HERE.glob("runs/*/run.json"))])
    (HERE / "table.json").write_text(json.dumps(table, indent=1) + "\n")


def keep(path: Path) -> None:
    """Keep a record, without process, code and machine, and without what no comparison reads."""
    record = json.loads(path.read_text())
    record |= {"process": {}, "git": {"commit": None, "dirty": None}, "hardware": {}}
    record["metrics"] = {name: value for name, value in record["metrics"].items() if name.startswith("test/")}
    record = {name: value for name, value in record.items() if name not in ("policy", "weights", "majority")}
    folder = HERE / "runs" / path.parent.name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record, indent=1) + "\n")


def tabulate(records: list[dict]) -> dict:
    """Mean, standard deviation, best, seconds by setting, and the paired t-test of the best two."""
    rows = [
        {
            "head": record["choices"]["head"],
            "optimizer.lr": next(o.partition("=")[2] for o in record["overrides"] if o.startswith("optimizer.lr=")),
            "seed": record["seed"],
            "value": record["metrics"]["test/accuracy"],
            "seconds": sum(record["timing"][part] for part in ("assemble", "fit", "test")),
        }
        for record in records
        if record["status"] == "completed"
    ]
    groups = pd.DataFrame(rows).groupby(["head", "optimizer.lr"])
    table = groups.agg(
        replicates=("value", "size"),
        mean=("value", "mean"),
        sd=("value", "std"),
        best=("value", "max"),
        seconds=("seconds", "mean"),
    )
    table = table.sort_values("mean", ascending=False)
    one, other = (groups.get_group(name).sort_values("seed")["value"].to_numpy() for name in table.index[:2])
    test = stats.ttest_rel(one, other)
    interval = test.confidence_interval(0.95)
    return {
        "table": json.loads(table.reset_index().to_json(orient="records", double_precision=15)),
        "test": {"t": test.statistic, "p": test.pvalue, "interval": [interval.low, interval.high]},
    }


if __name__ == "__main__":
    main()
