"""Find the texts to predict on: in a table, in a file of lines, or typed."""

from __future__ import annotations

from pathlib import Path

from tunesmith.contract.plain import PlainData
from tunesmith.data.table import Text
from tunesmith.data.tabular.columns import Columns, texts_of
from tunesmith.data.tabular.qa_file import read_questions
from tunesmith.data.tabular.reading import SUFFIXES, lines_of
from tunesmith.errors import DataError


def find_texts(source: str, trained: PlainData) -> list[Text]:
    """Find the texts that the command's ``input`` describes.

    Args:
        source: A table (.csv, .parquet, .jsonl) with the run's own columns of texts or a column ``text``; a .txt file
            with one text per line; or, if it is not a file, a text itself.
        trained: The ``data`` of the run's configuration.

    Raises:
        DataError: There are no texts, one is empty, or they are single texts and the run was trained on pairs.
    """
    path, pair = Path(source).expanduser(), trained.get("second") is not None
    if path.suffix in (*SUFFIXES, ".txt") or path.is_file():
        if path.suffix in SUFFIXES:
            return _of_table(path, trained)
        if not path.is_file():
            raise DataError(f"Expected texts in {path} but there is no such file.")
        if path.suffix != ".txt":
            raise DataError(
                f"Expected a table ({', '.join(SUFFIXES)}) or a .txt file with a text per line but got {path}."
            )
        found = _of_lines(path)
    elif path.is_dir() or not source.strip():
        raise DataError(f"Expected a table, a .txt file with a text per line, or a text itself but got '{source}'.")
    else:
        found = [(source.strip(),)]
    if pair:
        raise DataError(
            f"Expected pairs of texts, as the run was trained on, but got single ones; give a table with the columns "
            f"'{trained['text']}' and '{trained['second']}'."
        )
    return found


def _of_table(path: Path, trained: PlainData) -> list[Text]:
    columns = Columns.read(path)
    own = [trained[key] for key in ("text", "source", "second") if trained.get(key) is not None]
    alone = len(own) < 2 and (not own or own[0] not in columns.names)
    return list(texts_of(columns, ["text"] if alone else own))


def _of_lines(path: Path) -> list[Text]:
    lines = [line.strip() for line in lines_of(path)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"Expected a text per line in {path} but got none.")
    if "" in lines:
        raise DataError(f"Expected a text in every line of {path} but line {lines.index('') + 1} is empty.")
    return [(line,) for line in lines]


def find_questions(source: str) -> list[Text]:
    """Find the questions that the command's ``input`` describes, each with its text.

    Args:
        source: A table (.csv, .parquet, .jsonl) with the columns ``question`` and ``context``, or a .json file in
            SQuAD's format, with or without answers.

    Raises:
        DataError: There are no questions, or a question or a text is empty.
    """
    path = Path(source).expanduser()
    if path.suffix == ".json":
        return [(asked.question, asked.context) for asked in read_questions(path)]
    if path.suffix not in SUFFIXES:
        raise DataError(
            "Expected a table with the columns 'question' and 'context', or a .json file as SQuAD's, but got "
            f"'{source}'."
        )
    return list(texts_of(Columns.read(path), ["question", "context"]))
