"""Read questions on texts from files: JSON in SQuAD's format, or JSON lines with one question per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tunesmith.data.tabular.reading import MAX_CHARACTERS, lines_of, objects_of
from tunesmith.errors import DataError

Answer = tuple[str, int]
"""An accepted answer, and its first character in the text."""

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """A question on a text.

    Attributes:
        name: Its ``id``, or its line.
        title: Title of the article that contains the text; ``None`` if the file has no titles.
        context: The text.
        question: The question.
        answers: Accepted answers; none if the text has none or they are unknown.
        split: Split as named in the file.
    """

    name: str
    title: str | None
    context: str
    question: str
    answers: tuple[Answer, ...]
    split: str | None = None


def read_questions(file: Path) -> list[Question]:
    """Read a file: ``.json`` in the format of SQuAD 1.1 and 2.0, or ``.jsonl`` with one question per line.

    A line has ``question``, ``context`` and ``answers``, with lists ``text`` and ``answer_start``; optionally ``id``,
    ``title`` and ``split``.

    Raises:
        DataError: It cannot be read, or an answer is not at its stated position.
    """
    if file.suffix not in (".json", ".jsonl") or not file.is_file():
        raise DataError(f"Expected a .json or .jsonl file of questions but got {file}.")
    found = list(_of_lines(file) if file.suffix == ".jsonl" else _of_squad(file))
    if not found:
        raise DataError(f"Expected at least one question in {file} but got none.")
    return found


def _of_squad(file: Path) -> Iterator[Question]:
    try:
        whole = json.loads("\n".join(lines_of(file)))
    except ValueError as error:
        raise DataError(f"Expected JSON in {file} but it cannot be read ({error}).") from error
    for article in _of(whole, "data", list, f"{file}"):
        title = str(article["title"]) if isinstance(article, dict) and "title" in article else None
        for paragraph in _of(article, "paragraphs", list, f"article '{title}' of {file}"):
            context = _of(paragraph, "context", str, f"article '{title}' of {file}")
            for row in _of(paragraph, "qas", list, f"article '{title}' of {file}"):
                where = f"question {row.get('id') if isinstance(row, dict) else row} of {file}"
                name = str(_of(row, "id", (str, int), where))
                answers = [] if row.get("is_impossible") else [_answer(a, where) for a in row.get("answers") or []]
                yield _checked(name, title, context, _of(row, "question", str, where), answers, None, where)


def _of_lines(file: Path) -> Iterator[Question]:
    for number, where, row in objects_of(enumerate(lines_of(file), 1), file):
        question, context = (_of(row, key, str, where) for key in ("question", "context"))
        assert isinstance(row, dict)  # or `_of` raises
        given = row.get("answers") or {"text": [], "answer_start": []}
        texts, starts = (_of(given, key, list, f"the answers in {where}") for key in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise DataError(f"Expected a begin for each of {len(texts)} answers in {where} but got {len(starts)}.")
        answers = [_answer({"text": t, "answer_start": s}, where) for t, s in zip(texts, starts, strict=True)]
        title, split = (None if row.get(key) is None else str(row[key]) for key in ("title", "split"))
        yield _checked(str(row.get("id", f"line {number}")), title, context, question, answers, split, where)


def _of(row: object, key: str, kind: type[T] | tuple[type[T], ...], where: str) -> T:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, kind):
        raise DataError(f"Expected '{key}' in {where}, as in SQuAD's files, but got none.")
    return value


def _answer(row: object, where: str) -> Answer:
    return _of(row, "text", str, f"an answer to {where}"), _of(row, "answer_start", int, f"an answer to {where}")


def _checked(
    name: str, title: str | None, context: str, question: str, answers: list[Answer], split: str | None, where: str
) -> Question:
    for what, text in (("a question", question), ("a text", context)):
        if not text.strip():
            raise DataError(f"Expected {what} in {where} but it is empty.")
        if len(text) > MAX_CHARACTERS:
            raise DataError(
                f"Expected {what} of at most {MAX_CHARACTERS:,} characters in {where} but got {len(text):,}; ask of "
                "parts."
            )
    for text, begin in answers:
        if not text or begin < 0 or begin + len(text) > len(context):
            raise DataError(
                f"Expected the answer '{text[:40]}' to {where} within its text of {len(context):,} characters but it "
                f"is said to begin at {begin:,}."
            )
        there = context[begin : begin + len(text)]
        if there != text:
            raise DataError(
                f"Expected the answer '{text[:40]}' to {where} at character {begin:,} of its text but '{there[:40]}' "
                "stands there."
            )
    return Question(name, title, context, question, tuple(answers), split)
