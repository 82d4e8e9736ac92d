"""Read words and their tags from files: one word per line as in CoNLL's shared tasks, or one sentence per JSON line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data.tabular.reading import MAX_CHARACTERS, lines_of, objects_of
from tunesmith.errors import DataError

DOCUMENT = "-DOCSTART-"
"""Word that marks the begin of a document."""


@dataclass(frozen=True)
class Sentence:
    """Words and their tags.

    Attributes:
        line: First line in the file, from 1.
        words: At least one.
        tags: One per word.
        document: Document that contains it; ``None`` if the file has no documents.
        split: Split as named in the file.
    """

    line: int
    words: tuple[str, ...]
    tags: tuple[str, ...]
    document: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Keys:
    """Names of the keys in JSON lines; ``None`` for ``document`` or ``split`` if there is none."""

    tokens: str = "tokens"
    tags: str = "tags"
    document: str | None = "document"
    split: str | None = "split"


def read_sentences(file: Path, keys: Keys) -> list[Sentence]:
    """Read a file: JSON lines if its name ends in ``.jsonl``, else columns.

    In columns, the first cell of a line is the word and the last its tag, separated by a tab, or else by spaces; an
    empty line ends a sentence.

    Raises:
        DataError: It cannot be read, or a line is malformed.
    """
    if not file.is_file():
        raise DataError(f"Expected a file of words and tags but there is no file {file}.")
    found = list(_of_json(file, keys) if file.suffix == ".jsonl" else _of_columns(file))
    if not found:
        raise DataError(f"Expected at least one sentence in {file} but got none.")
    return found


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines_of(file), 1):
        if len(line) > MAX_CHARACTERS:
            raise DataError(
                f"Expected lines of at most {MAX_CHARACTERS:,} characters in {file} but line {number} has "
                f"{len(line):,}; cut it into several sentences."
            )
        yield number, line


def _of_columns(file: Path) -> Iterator[Sentence]:
    rows: list[tuple[str, str]] = []
    first, width, document = 1, 0, 0
    for number, line in [*_lines(file), (0, "")]:
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
        begins = cells and cells[0] == DOCUMENT
        if rows and (begins or not line.strip()):
            yield Sentence(first, *_transposed(rows), document=str(document) if document else None)
            rows = []
        if begins or not line.strip():
            document += bool(begins)
            continue
        first, width = (first if rows else number), width or len(cells)
        if len(cells) != width or width < 2 or not (cells[0] and cells[-1]):
            wanted = f"{width} columns as above" if width > 1 else "a word and its tag"
            raise DataError(f"Expected {wanted} in line {number} of {file} but got '{line.strip()[:80]}'.")
        rows.append((cells[0], cells[-1]))


def _transposed(rows: list[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(word for word, _ in rows), tuple(tag for _, tag in rows)


def _of_json(file: Path, keys: Keys) -> Iterator[Sentence]:
    for number, where, row in objects_of(_lines(file), file):
        words, tags = (_listed(row, key, where) for key in (keys.tokens, keys.tags))
        assert isinstance(row, dict)  # or `_listed` raises
        if not words or not all(words):
            raise DataError(
                f"Expected words in '{keys.tokens}' of {where} but got {'an empty one' if words else 'none'}."
            )
        if len(words) != len(tags):
            raise DataError(f"Expected a tag for each of {len(words)} words in {where} but got {len(tags)} tags.")
        rest = [None if key is None or row.get(key) is None else str(row[key]) for key in (keys.document, keys.split)]
        yield Sentence(number, words, tags, *rest)


def _listed(row: object, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(row, dict) or key not in row:
        raise DataError(f"Expected an object with '{key}' in {where} but got none; set its name (data.{key}).")
    value = row[key]
    if not isinstance(value, list) or not all(isinstance(item, str | int) for item in value):
        raise DataError(f"Expected a list of words in '{key}' of {where} but got {str(value)[:80]}.")
    return tuple(str(item).strip() for item in value)
