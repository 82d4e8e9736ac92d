"""Read questions on texts from a user's files."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import QuestionArguments
from tunesmith.data.split.split_file import files_of, folders_of
from tunesmith.data.table import Table
from tunesmith.data.tabular.qa_file import read_questions
from tunesmith.data.text.questions import CLASSES, QuestionData


@final
class QaTable(QuestionData):
    """Questions in SQuAD's format, in one file or one per split.

    Args:
        file: A ``.json`` in the format of SQuAD 1.1 or 2.0, or a ``.jsonl`` with one question per line; or a folder
            with ``train.…`` and optionally ``val.…`` (``valid``, ``dev``) and ``test.…``.
        titles: Whether splitting keeps texts of one title together.
        **common: Arguments of `QuestionData`.
    """

    def __init__(self, *, file: str, titles: bool = True, **common: Unpack[QuestionArguments]) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.titles = titles

    def load(self) -> Table:
        """Read the files.

        Raises:
            DataError: One is missing, or a question is invalid.
        """
        files = files_of(self.file, "questions")
        found = [(file, question) for file in files for question in read_questions(file)]
        names = [question.name for _, question in found]
        grouped = self.titles and any(question.title is not None for _, question in found)
        impossible = any(not question.answers for _, question in found)
        return Table(
            samples=[(question.question, question.context) for _, question in found],
            targets=[question.answers for _, question in found],
            class_names=CLASSES if impossible else CLASSES[:1],
            names=np.array(names),
            modality=self.modality,
            groups=np.unique([str(q.title) for _, q in found], return_inverse=True)[1] if grouped else None,
            group_unit="title" if grouped else None,
            folders=folders_of(files, [(file, question.split) for file, question in found], names),
            kind="span",
        )
