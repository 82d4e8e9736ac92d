"""Your own questions, each with a text in which its answer stands, or does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np

from tunesmith.data.split.split_file import files_of, folders_of
from tunesmith.data.table import Table
from tunesmith.data.tabular.qa_file import read_questions
from tunesmith.data.text.questions import CLASSES, QuestionData


@final
class QaTable(QuestionData):
    """Questions in files as SQuAD's, in one or in one for each split; texts of one title are kept together.

    Args:
        file: A ``.json`` as SQuAD 1.1 or 2.0 is published, or a ``.jsonl`` with a question a line; or a folder of
            ``train.…`` and maybe ``val.…`` (``valid``, ``dev``) and ``test.…``.
        titles: Whether texts of one title are kept together when splitting.
        **common: Arguments of `TextData`, as `QuestionData` takes them.
    """

    def __init__(self, *, file: str, titles: bool = True, **common: Any) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.titles = titles

    def load(self) -> Table:
        """Read the files.

        Raises:
            DataError: One is missing, or a question is not what it should be.
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
