"""Define the data module that every source of questions derives from; a text is read in overlapping windows."""

from __future__ import annotations

import hashlib
from abc import ABC
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from typing_extensions import Unpack

from tunesmith.contract.asked import Asked
from tunesmith.contract.plain import PlainData
from tunesmith.contract.spec import DataSpec
from tunesmith.data.arguments import WindowArguments
from tunesmith.data.dataset import Encoding
from tunesmith.data.table import Ints, Text
from tunesmith.data.tabular.found import find_questions
from tunesmith.data.tabular.qa_file import Answer
from tunesmith.data.text.dataset import Encoded
from tunesmith.data.text.module import TextData
from tunesmith.errors import DataError
from tunesmith.target.table.cells import Targets

CLASSES = ("answer", "no answer")
"""Names of the classes of questions; without the second one if all have an answer."""

MARKS = 4
"""Maximum tokens of a window besides those of the question and the text."""


class QuestionData(TextData, ABC):
    """Questions on texts; samples are pairs of a question and a text, targets tuples of `qa_file.Answer`.

    A text that exceeds `max_length` is read in several windows; after `setup`, `table` has one row per window. Training
    uses the first answer; the target of a window without it is its first token.

    Targets are mappings, see `tunesmith.target.span`; ``meta`` has ``context``, the whole text of the window, and
    ``answers``, the accepted answers.

    Args:
        stride: Tokens of the text that neighbouring windows share.
        max_question: Maximum tokens per question; longer questions are cut at the end.
        max_length: Maximum tokens per window, including the question.
        **common: Arguments of `TextData`.

    Raises:
        DataError: A number is out of range.
    """

    def __init__(
        self,
        *,
        stride: int = 128,
        max_question: int = 64,
        max_length: int | None = 384,
        **common: Unpack[WindowArguments],
    ) -> None:
        super().__init__(max_length=max_length, **common)
        for name, value in (("stride", stride), ("max_question", max_question)):
            if value < 1:
                raise DataError(f"Expected data.{name} to be at least 1 token but got {value}.")
        self.stride = stride
        self.max_question = max_question

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the questions by split, with and without an answer."""
        return self._questions

    def setup(self, stage: str | None = None) -> None:
        """Load, split and tokenise the data, publish `spec`, and make a row per window; see `TableData.setup`."""
        if hasattr(self, "table") or (stage == "predict" and self._predicted is not None):
            return
        super().setup(stage)
        self._questions = super().counts()
        rows = self._rows
        number = np.arange(len(rows)) - np.searchsorted(rows, rows)  # of each window within its question
        table, (digests, whole) = self.table, self.digests
        names = [f"{table.names[r]}#{n + 1}" if n else str(table.names[r]) for r, n in zip(rows, number, strict=True)]
        self.table = table.keep(rows, np.array(names))
        self.indices = {split: np.flatnonzero(np.isin(rows, own)) for split, own in self.indices.items()}
        # A window's cached outputs depend on its begin and end.
        tokens = (own.numpy().tobytes() for own in self._encoded.tokens)
        self.digests = (
            [hashlib.blake2b(digests[r] + t, digest_size=16).digest() for r, t in zip(rows, tokens, strict=True)],
            whole,
        )

    def encode(self, samples: Sequence[Text], targets: Targets | None) -> Encoded:
        """Tokenise pairs into windows, in the order of the samples."""
        room = self.preprocess.max_length - self.max_question - MARKS
        if room <= self.stride:
            raise DataError(
                f"Expected data.max_length to leave more than data.stride={self.stride} tokens for the text beside a "
                f"question of up to {self.max_question} (data.max_question) but it is {self.preprocess.max_length}."
            )
        questions, cut = self.tokenizer.shortened([question for question, _ in samples], self.max_question)
        contexts = [context for _, context in samples]
        tokens, rows, places = self.tokenizer.windows(questions, contexts, self.stride)
        self._rows = rows
        answers = [()] * len(samples) if targets is None else cast(Sequence[tuple[Answer, ...]], targets)
        wanted: Encoding = {
            "span": [torch.tensor(span_of(answers[row], own)) for row, own in zip(rows, places, strict=True)],
            "begins": [torch.from_numpy(own[:, 0].copy()) for own in places],
            "ends": [torch.from_numpy(own[:, 1].copy()) for own in places],
            "question": rows,
        }
        meta = {
            "context": [contexts[row] for row in rows],
            "answers": [tuple(text for text, _ in answers[row]) for row in rows],
        }
        return Encoded(tokens, wanted, cut, meta)

    def find(self, source: str, trained: PlainData, spec: DataSpec, skip: bool) -> Asked:
        """Find questions, each with its text; see `found.find_questions`."""
        return self._asked(find_questions(source))

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve questions, and set `asked` to them."""
        self.asked = list(samples)
        super().predict_on(samples, spec)

    def lost(self, encoded: Encoded) -> str:
        """Report the setting by which questions are cut."""
        return f" It is the questions that are cut, at {self.max_question} tokens (data.max_question)."


def span_of(answers: Sequence[Answer], places: Ints) -> list[int]:
    """Return first and last token of the first answer in a window; 0 and 0 if the window does not contain it whole.

    Args:
        answers: Answers and their first characters.
        places: Begin and end of each token in the text ``(T, 2)``; -1 for tokens outside the text.
    """
    own = np.flatnonzero(places[:, 0] >= 0)
    if not answers or not len(own):
        return [0, 0]
    text, begin = answers[0]
    end = begin + len(text)
    if begin < places[own[0], 0] or end > places[own[-1], 1]:
        return [0, 0]
    first = own[np.searchsorted(places[own, 1], begin, side="right")]
    last = own[np.searchsorted(places[own, 0], end, side="left") - 1]
    return [int(first), int(max(first, last))]
