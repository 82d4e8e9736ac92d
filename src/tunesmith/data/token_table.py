"""Your own sentences: files of words, each with a tag, such as the names of persons and places."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tunesmith.contracts import IGNORED, DataSpec
from tunesmith.data.table import SPLIT_WORDS, Table, Text
from tunesmith.data.text import Encoded, TextData
from tunesmith.data.token_file import Keys, Sentence, read_sentences
from tunesmith.data.words import find_words, first_tokens, joined
from tunesmith.errors import DataError, nearest

log = logging.getLogger(__name__)

FILE_WORDS = {**SPLIT_WORDS, "dev": "val", "testa": "val", "testb": "test"}
"""What the name of a split's file may have in it, between dots, dashes and underscores; also as in CoNLL-2003."""


class TokenTable(TextData):
    """Sentences whose words have tags, in one file or in one for each split.

    A file has a word a line, first the word and last its tag, with an empty line behind a sentence, and lines of
    ``-DOCSTART-`` that begin documents (CoNLL); or, as ``.jsonl``, a sentence a line. Documents are kept together where
    there are any. A word is tagged by the first of its tokens. A word that `max_length` cuts off is trained on by
    nobody; metrics of entities and the accuracy count it as not found.

    Args:
        file: The file; or a folder of ``train.…`` and maybe ``val.…`` (``valid``, ``dev``) and ``test.…``.
        tokens: Key of the words in JSON lines.
        tags: Key of the tags in JSON lines.
        document: Key in JSON lines of what must not be torn apart; ``None`` for nothing, also for columns.
        split_column: Key in JSON lines of train, val or test; ``None`` for nothing.
        scheme: How the tags say where an entity begins. ``iob1``, where it begins with ``B-`` only right behind another
            of its kind, is read as IOB2; with ``as_is`` tags stay what they are.
        classes: The tags in their order; ``None``: those that occur, sorted. Tags that are numbers are places in it.
        **common: Arguments of `TextData`.
    """

    between = " "

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
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.keys = Keys(tokens, tags, document, split_column)
        self.scheme = scheme
        self.classes = classes

    def load(self) -> Table:
        """Read the files.

        Raises:
            DataError: One is missing, or a line is not what it should be.
        """
        files = _files(self.file)
        found = [(file, sentence) for file in files for sentence in read_sentences(file, self.keys)]
        names = [f"{file.name}:{sentence.line}" for file, sentence in found]
        tags = [_as_iob2(s.tags) if self.scheme == "iob1" else s.tags for _, s in found]
        classes = self._classes(tags, names)
        number = {tag: i for i, tag in enumerate(classes)}
        if all(tag.isdecimal() for own in tags for tag in own) and self.classes is not None:
            number |= {str(i): i for i in range(len(classes))}
        # Those of columns are only counted, so each file has its own.
        documents = [s.document if file.suffix == ".jsonl" else f"{file.name} {s.document}" for file, s in found]
        grouped = self.keys.document is not None and any(sentence.document is not None for _, sentence in found)
        _warn_of_beginnings(tags, names)
        return Table(
            samples=[sentence.words for _, sentence in found],
            targets=[tuple(number[tag] for tag in own) for own in tags],
            class_names=tuple(classes),
            names=np.array(names),
            channels=0,
            groups=np.unique([str(d) for d in documents], return_inverse=True)[1] if grouped else None,
            group_unit="document" if grouped else None,
            folders=_folders(files, found, names),
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

    def lost(self, encoded: Encoded) -> str:
        """Say how many words have no token."""
        words = encoded.more["words"]
        number = sum(int((own < 0).sum()) for own in words)
        return f" {number:,} of {sum(map(len, words)):,} words are cut off: they count as not found."

    def encode(self, samples: Sequence[Text], targets: Any) -> Encoded:
        """Tokenise words with blanks between them; each tag is for the first token of its word."""
        texts, places = zip(*(joined(words) for words in samples), strict=True)
        tokens, offsets = self.tokenizer.located(texts)
        words = [torch.from_numpy(first_tokens(p, o)) for p, o in zip(places, offsets, strict=True)]
        tags = (
            [torch.tensor(own) for own in targets] if targets is not None else [torch.zeros_like(own) for own in words]
        )
        wanted = []
        for own, first, said in zip(tokens, words, tags, strict=True):
            target = torch.full((own.shape[1],), IGNORED, dtype=torch.int64)
            target[first[first >= 0]] = said[first >= 0]
            wanted.append(target)
        cut = np.array([i for i, first in enumerate(words) if (first < 0).any()], dtype=np.int64)
        return Encoded(tokens, wanted, cut, {"words": words, "tags": tags})

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve texts, split into words; `places` then says where these stand."""
        self.places = [find_words(text) for (text,) in samples]
        words = [tuple(text[a:b] for a, b in own) for (text,), own in zip(samples, self.places, strict=True)]
        super().predict_on(words, spec)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.is_file() and _split_of(file))
    if not found:
        raise DataError(f"Expected a file of words and tags, or a folder with one called train, but got {path}.")
    return found


def _split_of(file: Path) -> str | None:
    words = re.split(r"[._-]", file.name.lower())
    return next((FILE_WORDS[word] for word in words if word in FILE_WORDS), None)


def _folders(files: Sequence[Path], found: Sequence[tuple[Path, Sentence]], names: Sequence[str]) -> Any:
    if len(files) > 1:
        return np.array([str(_split_of(file)) for file, _ in found])
    if all(sentence.split is None for _, sentence in found):
        return None
    for name, (_, sentence) in zip(names, found, strict=True):
        if str(sentence.split).lower() not in SPLIT_WORDS:
            raise DataError(
                f"Expected train, val or test as the split of {name} but got '{sentence.split}'."
                f"{nearest(str(sentence.split), SPLIT_WORDS)}"
            )
    return np.array([SPLIT_WORDS[str(sentence.split).lower()] for _, sentence in found])


def _continues(before: str, tag: str) -> bool:
    """Whether a tag goes on with the entity of the one before it."""
    return before[:2] in ("B-", "I-") and before[2:] == tag[2:]


def _as_iob2(tags: tuple[str, ...]) -> tuple[str, ...]:
    pairs = pairwise(("O", *tags))
    return tuple(f"B-{t[2:]}" if t.startswith("I-") and not _continues(b, t) else t for b, t in pairs)


def _warn_of_beginnings(tags: Sequence[tuple[str, ...]], names: Sequence[str]) -> None:
    """Say that entities begin with ``I-`` where all prefixes are those of IOB."""
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
            f"{len(found):,} entities begin with I-, first in the sentence at {found[0]}: by IOB2 they are none, and "
            "no metric counts them; data.scheme=iob1 reads them as entities."
        )
