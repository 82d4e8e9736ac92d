"""The texts that a prediction is asked for: in a table, in a file of lines, or typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.table import Text
from tunesmith.data.tabular.columns import Columns, texts_of
from tunesmith.data.tabular.qa_file import read_questions
from tunesmith.data.tabular.reading import SUFFIXES, lines_of
from tunesmith.errors import DataError


def find_texts(source: str, trained: Mapping[str, Any]) -> list[Text]:
    """Find the texts that ``input`` means.

    Args:
        source: A table (.csv, .parquet, .jsonl), with the columns of texts that the run was trained with or else with a
            column ``text``; a .txt file with a text a line; or, where it is no file, a text itself.
        trained: The run's ``data``.

    Raises:
        DataError: Nothing is there, a text is empty, or there is one text where the run was trained on pairs.
    """
    path, pair = Path(source).expanduser(), trained.get("second") is not None
    if path.suffix in (*SUFFIXES, ".txt") or path.is_file():
        if path.suffix in SUFFIXES:
            return _of_table(path, trained)
        if not path.is_file():
            raise DataError(f"Expected texts in {path} but there is no such file.")
        if path.suffix != ".txt":
            raise DataError(
                f"Expected a table ({', '.join(SUFFIXES)}) or a .txt file with a text a line but got {path}."
            )
        found = _of_lines(path)
    elif path.is_dir() or not source.strip():
        raise DataError(f"Expected a table, a .txt file with a text a line, or a text itself but got '{source}'.")
    else:
        found = [(source.strip(),)]
    if pair:
        raise DataError(
            f"Expected pairs of texts, as the run was trained on, but got single ones; give a table with the columns "
            f"'{trained['text']}' and '{trained['second']}'."
        )
    return found


def _of_table(path: Path, trained: Mapping[str, Any]) -> list[Text]:
    columns = Columns.read(path)
    own = [trained[key] for key in ("text", "source", "second") if trained.get(key) is not None]
    alone = len(own) < 2 and (not own or own[0] not in columns.names)
    return list(texts_of(columns, ["text"] if alone else own))


def _of_lines(path: Path) -> list[Text]:
    lines = [line.strip() for line in lines_of(path)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"Expected a text a line in {path} but got none.")
    if "" in lines:
        raise DataError(f"Expected a text in every line of {path} but line {lines.index('') + 1} is empty.")
    return [(line,) for line in lines]


def find_questions(source: str) -> list[Text]:
    """Find the questions that ``input`` means, each with the text that it is asked of.

    Args:
        source: A table (.csv, .parquet, .jsonl) with the columns ``question`` and ``context``, or a .json file as
            SQuAD's, answers or not.

    Raises:
        DataError: Nothing is there, or a question or a text is empty.
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
