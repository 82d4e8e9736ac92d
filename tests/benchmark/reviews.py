"""Film reviews with MiniLM, films of their own to test on: a probe, LoRA, all layers, and TF-IDF for comparison.

A quarter of the films is tested on, and all others are trained on, since nothing is chosen by validation: the weights
of the last epoch are tested. Once every seed draws test films of its own; once all have those of seed 0, which leaves
what training itself varies by. The seconds are those of CPU, of all cores together and without imports; the probe is
trained twice: first all is computed, then what the frozen stages gave is found.

    make bench        # or: python tests/benchmark/reviews.py --seeds 3 --logs logs/reviews
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from runs import run, scores, share, spread
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

from tunesmith.data.split.split import Split
from tunesmith.data.text.reviews import Reviews

EXPERIMENTS = {
    "probe": "probe cache=refresh",
    "probe, again": "probe",
    "lora": "lora",
    "lp_ft": "lpft",
    "lp_ft, R-Drop": "rdrop",
    "lp_ft, joint": "joint",
}
SAME = ("probe, again", "lora", "lp_ft", "lp_ft, R-Drop")
"""Those that are trained with every seed on the same films, too."""

BASELINES = {
    "always the same": DummyClassifier,
    "TF-IDF, logistic": lambda: make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression(C=4.0, max_iter=1000)
    ),
}


def baseline(name: str, seed: int) -> dict[str, Any]:
    """Fit a baseline on the words of the same films, and test it on the same ones; a record as a run's."""
    data = Reviews(split=Split(by="auto", val=0, test=0.25, seed=seed))
    table = data.load()
    rows, texts = data.split(table), np.array([text for (text,) in table.samples], dtype=object)
    start, model = time.process_time(), BASELINES[name]()
    model.fit(texts[rows["train"]], table.targets[rows["train"]])
    said, truth = model.predict(texts[rows["test"]]), table.targets[rows["test"]]
    metrics = {"test/accuracy": accuracy_score(truth, said), "test/macro_f1": f1_score(truth, said, average="macro")}
    return {"metrics": metrics, "timing": {"cpu": time.process_time() - start}}


def trained(logs: Path, name: str, seed: int, films: int) -> dict[str, Any]:
    """Train, or read, an experiment; the record."""
    kind = "" if films == seed else "-same"
    words = f"experiment=reviews_minilm_{EXPERIMENTS[name]} seed={seed} data.split.seed={films} data.split.val=0"
    return run(logs / f"{name.replace(', ', '-')}{kind}-{seed}", *words.split())


def main() -> None:
    """Run everything with every seed and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--logs", type=Path, default=Path("logs/reviews"))
    options = arguments.parse_args()
    os.environ["TUNESMITH_CACHE"] = str(options.logs.absolute() / "cache")
    table = Table(title=f"Films that were never trained on, {options.seeds} seeds")
    for heading in ("", "accuracy, own films", "macro F1", "accuracy, same films", "CPU seconds", "trains"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    seeds = range(options.seeds)
    records = {name: [baseline(name, seed) for seed in seeds] for name in BASELINES}
    same = {name: found[:1] for name, found in records.items()}
    for name, seed in track([(n, s) for n in EXPERIMENTS for s in seeds], "Training"):
        records.setdefault(name, []).append(trained(options.logs, name, seed, films=seed))
        if name in SAME:
            same.setdefault(name, []).append(trained(options.logs, name, seed, films=0))
    for name, found in records.items():
        trains = f"{share(found):.3g} %" if name in EXPERIMENTS else ""
        seconds = spread([r["timing"]["cpu"] for r in found], ".0f")
        alike = scores(same[name], "accuracy") if name in same else [""]
        table.add_row(name, *scores(found, "accuracy", "macro_f1"), *alike, seconds, trains)
    Console().print(table)


if __name__ == "__main__":
    main()
