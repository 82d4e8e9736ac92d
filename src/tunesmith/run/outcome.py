"""What a run came to: predictions of a split, their metrics, and those of always saying the commonest class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from tunesmith.atomic import atomic
from tunesmith.run import metrics_log
from tunesmith.run.assemble import Parts
from tunesmith.run.callback import Collect
from tunesmith.run.checkpoint import load_weights


@dataclass(frozen=True)
class Predictions:
    """Probabilities of the samples of one split.

    Attributes:
        files: What each sample is called ``(N,)``.
        probabilities: ``(N, K)``.
        class_names: One a class ``(K,)``.
        targets: Class index ``(N,)``; ``None`` where labels are not known.
    """

    files: list[str]
    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]
    targets: NDArray[np.int64] | None = None

    def table(self) -> pa.Table:
        """Columns ``file``, ``target`` where known, ``label`` (the class predicted), ``p_<class>`` for each class."""
        names = np.array(self.class_names, dtype=object)
        columns: dict[str, Any] = {"file": self.files}
        if self.targets is not None:
            columns["target"] = names[self.targets]
        columns["label"] = names[self.probabilities.argmax(axis=1)]
        columns |= {f"p_{name}": self.probabilities[:, i] for i, name in enumerate(self.class_names)}
        return pa.table(columns)

    def save(self, path: Path) -> None:
        """Write the table as Parquet or, where the name ends so, as CSV."""
        with atomic(path) as temporary:
            if path.suffix == ".csv":
                pyarrow.csv.write_csv(self.table(), temporary)
            else:
                pyarrow.parquet.write_table(self.table(), temporary)


@dataclass(frozen=True)
class Outcome:
    """A tested split.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        weights: Which weights were tested: ``best`` or ``last``.
        predictions: Of every sample.
        metrics: Flat, under the split's name: ``test/accuracy``, ``test/loss``, …
        majority: The same metrics of always saying the commonest class of the training split.
        majority_class: Its name.
    """

    split: str
    weights: str
    predictions: Predictions
    metrics: dict[str, float]
    majority: dict[str, float]
    majority_class: str


def test(parts: Parts, folder: Path, weights: Literal["best", "last"]) -> Outcome | None:
    """Test the best or the last weights of a run that was just trained.

    Args:
        parts: The assembled run.
        folder: The run folder, with its checkpoints.
        weights: Which weights.

    Returns:
        ``None`` where the data have no test split.

    Raises:
        RunError: The checkpoint is missing, altered or does not fit.
    """
    if "test" not in parts.data.counts():
        return None
    if (folder / "checkpoints").is_dir():  # else nothing was to be saved, and the last weights are those in memory
        load_weights(parts.task, folder / "checkpoints" / f"{weights}.ckpt")
    in_train = parts.data.counts()["train"]
    return test_split(parts.data, parts.task, parts.trainer, parts.collect, in_train, weights, "test")


def test_split(
    data: Any, task: Any, trainer: Trainer, collect: Collect, in_train: Mapping[str, int], weights: str, split: str
) -> Outcome:
    """Test the task's present weights.

    Args:
        data: The data module.
        task: The task.
        trainer: With ``collect`` among its callbacks.
        collect: Gives the predictions.
        in_train: Samples of each class that the weights were trained on; the commonest is the baseline.
        weights: What these weights are called.
        split: Which split.
    """
    data.evaluate_on(split)
    (logged,) = trainer.test(task, datamodule=data, verbose=False)
    found = collect.collected()
    spec, table = data.spec, data.table
    common = max(in_train, key=lambda name: in_train[name])
    constant = torch.zeros_like(found["predictions"])
    constant[:, spec.class_names.index(common)] = 1.0
    metrics = task.test_metrics.clone(prefix=f"{split}/").to("cpu")
    metrics.reset()
    majority = {name: value.item() for name, value in metrics(constant, found["target"]).items()}
    predictions = Predictions(
        np.asarray(table.names)[found["index"].numpy()].tolist(),
        found["predictions"].numpy(),
        spec.class_names,
        found["target"].numpy(),
    )
    values = {f"{split}/{name.rpartition('/')[2]}": value for name, value in logged.items()}
    return Outcome(split, weights, predictions, values, majority, common)


def show_mistakes(data: Any, outcome: Outcome, most: int = 16) -> list[tuple[str, NDArray[np.uint8]]]:
    """The most confident mistakes, worst first: a caption, and the picture as the model saw it ``(H, W, C)``.

    Args:
        data: The data module, which still serves the tested split.
        outcome: With the targets.
        most: How many at the most.
    """
    found = outcome.predictions
    assert found.targets is not None
    chosen = found.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(chosen != found.targets)
    worst = wrong[np.argsort(-found.probabilities[wrong, chosen[wrong]], kind="stable")][:most]
    dataset, names = data.test_dataloader().dataset, found.class_names
    captions = []
    for i in worst:
        said, sure, truth = names[chosen[i]], found.probabilities[i, chosen[i]], names[found.targets[i]]
        captions.append(f"{found.files[i]}: {said} ({sure:.0%}), in truth {truth}")
    return [(c, dataset[int(i)]["input"].permute(1, 2, 0).numpy()) for c, i in zip(captions, worst, strict=True)]


def best_and_last(parts: Parts, folder: Path) -> dict[str, float]:
    """Metrics at the end, and under ``best/`` those of the epoch with the best monitored value."""
    last = {k: float(v) for k, v in parts.trainer.callback_metrics.items() if not k.endswith("_step")}
    monitor, sign = parts.task.monitor, 1 if parts.task.mode == "max" else -1
    rows = [row for row in metrics_log.read(folder) if monitor is not None and row.get(monitor) is not None]
    if not rows:
        return last
    best = max(rows, key=lambda row: sign * row[monitor])
    return last | {f"best/{k}": v for k, v in best.items() if "/" in k} | {"best/epoch": best["epoch"]}
