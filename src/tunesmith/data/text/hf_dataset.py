"""Read texts from a dataset of Hugging Face's library ``datasets``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from typing_extensions import Unpack

from tunesmith.compat.hub import quick_failure
from tunesmith.data.arguments import TextTableArguments
from tunesmith.data.table import SPLIT_WORDS, Table
from tunesmith.data.tabular.columns import Columns
from tunesmith.data.tabular.reading import SUFFIXES, cell
from tunesmith.data.text.text_table import TextTable
from tunesmith.errors import DataError, MissingExtraError

log = logging.getLogger(__name__)

SPLIT = "split"
"""Column of the table with the dataset's splits."""

Dataset: TypeAlias = Any
"""A `datasets.Dataset`: the library is optional and has no types."""


class HfDataset(TextTable):
    """A dataset of the library ``datasets``, with its columns as those of a table, and its own splits and classes.

    Splits without labels, such as the test splits of competitions, and splits not named train, validation or test are
    skipped with a warning. Code that comes with a dataset is never run.

    Args:
        name: Configuration of the dataset, if it has several.
        **common: Arguments of `TextTable`. ``file`` is a folder written by ``save_to_disk``, a folder of files that the
            library reads, or a name on the Hub, which is contacted only if the dataset is not in its cache on this
            machine; ``split_column=auto`` means the dataset's own splits.
    """

    def __init__(self, *, name: str | None = None, **common: Unpack[TextTableArguments]) -> None:
        super().__init__(**common)
        self.name = name

    def load(self) -> Table:
        """Read the dataset.

        Raises:
            MissingExtraError: The library is not installed.
            DataError: There is no such dataset, split or column, or a cell is invalid.
        """
        splits = self._usable(_read(self.file, self.name))
        frames = {split: _cells(dataset) for split, dataset in splits.items()}
        names = dict.fromkeys(name for cells in frames.values() for name in cells)
        cells = {name: [cell for f in frames.values() for cell in f.get(name, [""] * _rows(f))] for name in names}
        if len(splits) > 1 or "train" not in splits:
            cells[SPLIT] = [SPLIT_WORDS[split] for split, f in frames.items() for _ in range(_rows(f))]
        own = _classes(next(iter(splits.values())), self.annotation.labels, cells)
        if self.annotation.classes is None and own:
            self.annotation = replace(self.annotation, classes=own)
        return self.table_of(Columns(self.file, cells))

    def _usable(self, splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
        found = {}
        for split, dataset in splits.items():
            if split not in SPLIT_WORDS:
                log.warning(f"Skipped split {split} of {self.file}: it is neither train, validation nor test.")
            elif _hidden(dataset, self.annotation.labels):
                log.warning(f"Skipped split {split} of {self.file}: it has no labels.")
            elif len(dataset):
                found[split] = dataset
        if not found:
            raise DataError(
                f"Expected rows in a split train, validation or test of {self.file} but got {', '.join(splits)}."
            )
        return found


def _read(path: Path, name: str | None) -> dict[str, Dataset]:
    """Read the splits of a dataset; one without splits is all train."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "text") from error
    if path.suffix in SUFFIXES and path.is_file():
        raise DataError(f"Expected a dataset in a folder, or on the Hub, but {path} is a table; use data=text_table.")
    saved = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        if saved:
            found: Dataset = datasets.load_from_disk(str(path))
        elif path.is_dir():
            found = datasets.load_dataset(str(path), name)
        else:
            with quick_failure():
                found = datasets.load_dataset(str(path), name)
    except Exception as error:  # the exceptions of all its readers, and of pyarrow's
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"Expected a dataset at '{path}' but it cannot be read: {line}") from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    return dict(found) if isinstance(found, dict) else {"train": found}


def _cells(dataset: Dataset) -> dict[str, list[str]]:
    """Return the cells of a split by column, as text; classes by their names."""
    found = {}
    for name, feature in dataset.features.items():
        names, values = getattr(feature, "names", None), dataset.with_format("arrow")[:][name].to_pylist()
        found[name] = [cell(v if names is None or v is None else names[v] if v >= 0 else None) for v in values]
    return found


def _rows(cells: Mapping[str, list[str]]) -> int:
    return len(next(iter(cells.values())))


def _hidden(dataset: Dataset, labels: str | Sequence[str]) -> bool:
    """Return whether a split's one column of classes has no labels, which the library stores as -1."""
    feature = dataset.features.get(labels) if isinstance(labels, str) else None
    return (
        getattr(feature, "names", None) is not None and len(dataset) > 0 and set(dataset.unique(labels)) <= {-1, None}
    )


def _classes(dataset: Dataset, labels: str | Sequence[str], cells: Mapping[str, list[str]]) -> list[str | int] | None:
    """Return the names of the classes in the dataset's order, without those that no row has."""
    names = getattr(dataset.features.get(labels), "names", None) if isinstance(labels, str) else None
    if names is None or not isinstance(labels, str):
        return None
    present = set(cells[labels])
    if empty := [name for name in names if name not in present]:
        log.warning(f"No row has the class {', '.join(empty)}: skipped.")
    return [name for name in names if name in present]
