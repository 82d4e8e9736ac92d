"""What tables of texts gave before their columns were memory-mapped: `recorded.json`, which this file writes.

Written once, by the code that kept all samples as Python objects (commit 62ba503), with

    SMALL_TEXTS=<folder> python tests/data/text/recorded.py
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import runpy
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tunesmith.data.listing import listing
from tunesmith.data.spec import members
from tunesmith.data.split.split import Split
from tunesmith.data.text.module import TextData
from tunesmith.data.text.pair_table import PairTable
from tunesmith.data.text.text_table import TextTable
from tunesmith.modality.text import TextPreprocess

RECORDED = Path(__file__).with_name("recorded.json")
ROWS = 120
WORDS = ["the", "good", "bad", "film", "is", "very", "bold", "a\u0308rger", "\u6f22", '"so"', "a,b", "x\ny", "it's"]


def rows() -> list[dict[str, Any]]:
    """Rows with every kind of column; some texts occur twice, some with another label."""
    draw, found = random.Random(0), []
    for i in range(ROWS):
        words = " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))
        found.append(
            {
                "text": f" {words} " if i % 7 else "the good film",
                "other": draw.choice(WORDS),
                "label": draw.choice(["007", "b", "c"]),
                "many": draw.sample(["p", "q", "r"], draw.randint(0, 3)),
                "number": round(draw.uniform(-2, 2), 3),
                "level": draw.randint(1, 3),
                "author": f"author {i % 11}",
                "part": draw.choice(["train", "train", "valid", "test"]),
                "grade": 0.25 * draw.randint(0, 8),
                "gap": draw.choice([None, 1, 2]) if i > 60 else 1,
            }
        )
    return found


def write(folder: Path) -> None:
    """Write the rows in three formats."""
    frame = pd.DataFrame(rows())
    frame.to_parquet(folder / "t.parquet", row_group_size=32)
    frame.assign(many=[";".join(own) for own in frame["many"]]).to_csv(folder / "t.csv", index=False)
    lines = [{k: v for k, v in row.items() if k != "other" or i > 50} for i, row in enumerate(rows())]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")


SAMPLED = Split(by="stratified", val=0.2, test=0.2)
CASES: dict[str, tuple[type[TextData], str, str, dict[str, Any]]] = {
    "classes in csv": (TextTable, "bert", "csv", {}),
    "classes in jsonl": (TextTable, "bert", "jsonl", {"sampler": "balanced"}),
    "classes in parquet": (TextTable, "bert", "parquet", {"split": Split(by="random", folds=3, fold=1)}),
    "pairs by group": (TextTable, "bert", "csv", {"second": "other", "group": "author", "split": Split(by="group")}),
    "their own split": (TextTable, "bert", "parquet", {"split_column": "part", "split": Split(by="folder")}),
    "labels in lists": (TextTable, "bert", "jsonl", {"labels": "many", "weight": "grade"}),
    "labels in lists of parquet": (TextTable, "bert", "parquet", {"labels": "many"}),
    "labels with a separator": (TextTable, "bert", "csv", {"labels": "many", "separator": ";"}),
    "values": (TextTable, "bert", "parquet", {"labels": ["number"], "group_by_length": False}),
    "integers with gaps": (TextTable, "bert", "parquet", {"labels": "level", "group": None, "second": "gap_"}),
    "levels": (TextTable, "bert", "csv", {"labels": "level", "target": "ordinal"}),
    "hidden words": (TextTable, "bert", "csv", {"target": "tokens"}),
    "next words": (TextTable, "gpt2", "csv", {"target": "tokens"}),
    "translation": (PairTable, "t5", "csv", {"source": "text", "target": "other", "prefix": "say: "}),
}


def made(case: str, folder: Path, models: Path, keep: Any = None) -> TextData:
    """Make the data module of a case, ready for its loaders."""
    kind, model, suffix, options = CASES[case]
    if options.get("second") == "gap_":  # a column of whole numbers, some of them missing, as words
        frame = pd.read_parquet(folder / "t.parquet").assign(gap_=lambda f: f["gap"].fillna(0).astype(int))
        frame.to_parquet(folder / "g.parquet")
        options, path = options, folder / "g.parquet"
    else:
        path = folder / f"t.{suffix}"
    data = kind(file=str(path), batch_size=8, **{"split": SAMPLED, "max_length": 8} | options)
    attention = {"gpt2": "causal", "t5": "encoder_decoder"}.get(model, "bidirectional")
    data.connect(TextPreprocess(model, str(models / model), "x", 16, 1000, attention))  # type: ignore[arg-type]
    if keep is not None:
        data.keep_tokens(keep)
    data.setup("fit")
    return data


def digest(value: Any) -> str:
    """Digest plain values and tensors."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), value.tolist()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return hashlib.blake2b(repr(plain(value)).encode(), digest_size=8).hexdigest()


def as_it_was(batch: Any) -> dict[str, Any]:
    """Return a batch without what pairs of texts carry since these values were recorded."""
    meta = {name: value for name, value in batch.get("meta", {}).items() if name not in ("pair", "reference")}
    return {name: value for name, value in batch.items() if name != "meta"} | ({"meta": meta} if meta else {})


def values(data: TextData) -> dict[str, Any]:
    """Record what a data module gives."""
    table, loader = data.table, data.train_dataloader()
    batches = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        batches += [as_it_was(batch) for batch in loader]
    for loader in (data.val_dataloader(), data.test_dataloader()):
        batches += [as_it_was(batch) for batch in loader]
    shown = [data.plain(data.indices["train"]).shown(i) for i in range(3)]
    return {
        "fingerprint": data.spec.fingerprint,
        "spec": digest(repr(data.spec)),
        "samples": digest([list(map(str, sample)) for sample in table.samples]),
        "targets": digest([str(target) for target in table.targets]),
        "names": digest([str(name) for name in table.names]),
        "indices": digest({split: own.tolist() for split, own in data.indices.items()}),
        "members": digest(members(table, data.indices)),
        "digests": digest([bytes(own) for own in data.digests[0]]),
        "duplicates": digest([(int(a), int(b)) for a, b in data.duplicates]),
        "counts": digest(data.counts()),
        "heaviest": digest(as_it_was(data.heaviest(3))),
        "order": digest(data.length_sorted(data.indices["train"], 4).tolist()),
        "listing": digest(listing(table, data.indices, data.digests[0]).astype(str).to_numpy().tolist()),
        "batches": digest(batches),
        "shown": digest(shown),
    }


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        models = Path(os.environ.get("SMALL_TEXTS", name))
        if "SMALL_TEXTS" not in os.environ:
            runpy.run_path(str(Path(__file__).parents[2] / "small_texts.py"))["write_models"](folder)
        found = {case: values(made(case, folder, models)) for case in CASES}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
