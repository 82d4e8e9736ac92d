"""Read sentences of tagged words from a user's files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, final

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import TextArguments
from tunesmith.data.split.split_file import files_of, folders_of
from tunesmith.data.table import Table
from tunesmith.data.tabular.token_file import Keys, read_sentences
from tunesmith.data.text.tagged import TaggedData
from tunesmith.errors import DataError, nearest

log = logging.getLogger(__name__)


@final
class TokenTable(TaggedData):
    """Sentences of tagged words, in one file or one per split.

    A file has one word per line, first the word and last its tag, an empty line after each sentence, and lines of
    ``-DOCSTART-`` that begin documents (CoNLL); or, as ``.jsonl``, one sentence per line. Splitting keeps documents
    together.

    Args:
        file: The file; or a folder with ``train.…`` and optionally ``val.…`` (``valid``, ``dev``) and ``test.…``.
        tokens: Key of the words in JSON lines.
        tags: Key of the tags in JSON lines.
        document: Key of the document in JSON lines; ``None`` ignores documents, in both formats.
        split_column: Key of train, val or test in JSON lines; ``None`` for none.
        scheme: How tags mark the begin of an entity. ``iob1``, with ``B-`` only between two entities of one kind, is
            converted to IOB2; ``as_is`` leaves tags unchanged.
        classes: The tags in order; ``None``: those that occur, sorted. Numeric tags are indices into this list.
        **common: Arguments of `TextData`.
    """

    def __init__(
        self,
        *,
        file: str,
        tokens: str = "tokens",
        tags: str = "tags",
        document: str | None = "document",
        split_column: str | None = "split",
        scheme: Literal["as_is", "iob1"] = "as_is",
        classes: list[str] | None = None,
        **common: Unpack[TextArguments],
    ) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.keys = Keys(tokens, tags, document, split_column)
        self.scheme = scheme
        self.classes = classes

    def load(self) -> Table:
        """Read the files.

        Raises:
            DataError: One is missing, or a line is invalid.
        """
        files = files_of(self.file, "words and tags")
        found = [(file, sentence) for file in files for sentence in read_sentences(file, self.keys)]
        names = [f"{file.name}:{sentence.line}" for file, sentence in found]
        tags = [_as_iob2(s.tags) if self.scheme == "iob1" else s.tags for _, s in found]
        classes = self._classes(tags, names)
        number = {tag: i for i, tag in enumerate(classes)}
        if all(tag.isdecimal() for own in tags for tag in own) and self.classes is not None:
            number |= {str(i): i for i in range(len(classes))}
        # Documents of the column format are only numbered, so their numbers count per file.
        documents = [s.document if file.suffix == ".jsonl" else f"{file.name} {s.document}" for file, s in found]
        grouped = self.keys.document is not None and any(sentence.document is not None for _, sentence in found)
        _warn_of_beginnings(tags, names)
        return Table(
            samples=[sentence.words for _, sentence in found],
            targets=[tuple(number[tag] for tag in own) for own in tags],
            class_names=tuple(classes),
            names=np.array(names),
            modality=self.modality,
            groups=np.unique([str(d) for d in documents], return_inverse=True)[1] if grouped else None,
            group_unit="document" if grouped else None,
            folders=folders_of(files, [(file, sentence.split) for file, sentence in found], names),
            kind="tags",
        )

    def _classes(self, tags: Sequence[tuple[str, ...]], names: Sequence[str]) -> list[str]:
        present = {tag for own in tags for tag in own}
        if self.classes is None:
            if all(tag.isdecimal() for tag in present):
                raise DataError("Expected data.classes to name the tags, since they are numbers, but got none.")
            return sorted(present)
        known = {*self.classes, *(str(i) for i in range(len(self.classes)))}
        for name, own in zip(names, tags, strict=True):
            if unknown := [tag for tag in own if tag not in known]:
                raise DataError(
                    f"Expected only tags of data.classes but the sentence at {name} has '{unknown[0]}'."
                    f"{nearest(unknown[0], self.classes)}"
                )
        return list(self.classes)


def _continues(before: str, tag: str) -> bool:
    """Return whether a tag continues the entity of the tag before it."""
    return before[:2] in ("B-", "I-") and before[2:] == tag[2:]


def _as_iob2(tags: tuple[str, ...]) -> tuple[str, ...]:
    pairs = pairwise(("O", *tags))
    return tuple(f"B-{t[2:]}" if t.startswith("I-") and not _continues(b, t) else t for b, t in pairs)


def _warn_of_beginnings(tags: Sequence[tuple[str, ...]], names: Sequence[str]) -> None:
    """Warn of entities that begin with ``I-``, if all prefixes are those of IOB."""
    if {tag[:2] for own in tags for tag in own} - {"O", "B-", "I-"}:
        return
    found = [
        name
        for name, own in zip(names, tags, strict=True)
        for before, tag in pairwise(("O", *own))
        if tag.startswith("I-") and not _continues(before, tag)
    ]
    if found:
        log.warning(
            f"{len(found):,} entities begin with I-, first in the sentence at {found[0]}: IOB2 does not "
            "allow that, so no metric counts them; data.scheme=iob1 reads them as entities."
        )
