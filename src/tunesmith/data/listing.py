"""List all samples of a run with split, label and a digest of the content, so that changed files can be named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from tunesmith.data.fingerprint import labels
from tunesmith.data.table import Ints, Table

LISTING = "data.parquet"
"""The list's file in a run folder."""

AT_ONCE = 65_536
"""Number of rows that are made at once."""

SHOWN = 5
"""Maximum number of names in a message."""


def listing(table: Table, indices: dict[str, Ints], digests: Sequence[bytes]) -> pd.DataFrame:
    """List the samples of a run, with one row per sample.

    Args:
        table: The samples.
        indices: Rows by split.
        digests: Digest of each sample's content, in the table's order.

    Returns:
        ``file``, ``split`` (empty if in none), ``label`` (with its weight, if there are weights) and ``content``: 32
        bits of the digest, to save space. These miss one change in 4 billion, which the data's fingerprint still shows.
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
    """Report the differences between two lists, naming files.

    Args:
        before: List of a run.
        now: List of the current data.
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
