"""Every image of a run with its split, label and a digest of its content: by it, what was altered has a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from tunesmith.data.fingerprint import labels
from tunesmith.data.table import Ints, Table

LISTING = "data.parquet"
"""Its file in a run folder."""

AT_ONCE = 65_536
"""Rows that are made at once."""

SHOWN = 5
"""Names in a sentence."""


def listing(table: Table, indices: dict[str, Ints], digests: Sequence[bytes]) -> pd.DataFrame:
    """List the images of a run, a row each.

    Args:
        table: The images.
        indices: Rows of each split.
        digests: Of each image's content, in the table's order.

    Returns:
        ``file``, ``split`` (empty where it is in none), ``label`` (with its weight, where it has one) and ``content``,
        32 bits of the digest: sweeps keep a list a run. They miss one alteration in 4 billion, which the fingerprint
        of all the data then still shows.
    """
    names, splits = sorted(["", *indices]), np.zeros(len(table), np.int8)
    for split, rows in indices.items():
        splits[rows] = names.index(split)
    spans = [np.arange(start, min(start + AT_ONCE, len(table))) for start in range(0, len(table), AT_ONCE)]
    parts = [pd.Categorical(list(map(str, labels(table, rows)))) for rows in spans]
    content = [_heads(digests[rows[0] : rows[-1] + 1]) for rows in spans]
    return pd.DataFrame(
        {
            "file": pd.concat([pd.Series(table.names[rows]) for rows in spans], ignore_index=True),
            "split": pd.Categorical.from_codes(splits, dtype=pd.CategoricalDtype(names)).remove_unused_categories(),
            "label": union_categoricals(parts, sort_categories=True),
            "content": np.concatenate(content),
        }
    )


def _heads(digests: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    return np.array([int.from_bytes(digest[:4], "big") for digest in digests], dtype=np.uint32)


def differences(before: pd.DataFrame, now: pd.DataFrame) -> Iterator[str]:
    """Say in what two lists differ, naming files.

    Args:
        before: The list of a run.
        now: The list of the data as they are.
    """
    words = {"split": str, "label": str}  # the categories of two lists differ
    both = before.astype(words).merge(now.astype(words), on="file", how="outer", suffixes=("", "_now"), indicator=True)
    kept = both[both["_merge"] == "both"]
    yield from _say("missing", both[both["_merge"] == "left_only"])
    yield from _say("new", both[both["_merge"] == "right_only"])
    for column, text in (("content", "altered"), ("label", "labelled otherwise"), ("split", "in another split")):
        yield from _say(text, kept[kept[column] != kept[f"{column}_now"]])


def _say(what: str, rows: pd.DataFrame) -> Iterator[str]:
    names = sorted(map(str, rows["file"]))
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{what}: {', '.join(names[:SHOWN])}{more}"
