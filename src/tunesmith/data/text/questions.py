"""The data module that every source of questions derives from: a text is read in windows that overlap."""

from __future__ import annotations

import hashlib
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tunesmith.contract.asked import Asked
from tunesmith.contract.spec import DataSpec
from tunesmith.data.table import Ints, Text
from tunesmith.data.tabular.found import find_questions
from tunesmith.data.tabular.qa_file import Answer
from tunesmith.data.text.dataset import Encoded
from tunesmith.data.text.module import TextData
from tunesmith.errors import DataError

CLASSES = ("answer", "no answer")
"""Names of the classes of questions; the second one is there where some have no answer."""

MARKS = 4
"""Most tokens beside those of the question and the text."""


class QuestionData(TextData, ABC):
    """Questions on texts; samples are pairs of a question and a text, targets tuples of `qa_file.Answer`.

    A text that is longer than `max_length` lets is read in several windows; `table` has a row each, after `setup`. In
    training, the first answer counts; a window without it has none, which is said by its first token.

    Targets are mappings, see `Batch`; ``meta`` has ``context``, the whole text that a sample is a window of, and
    ``answers``, those that are accepted.

    Args:
        stride: Tokens of the text that neighbouring windows share.
        max_question: Most tokens of a question; longer ones are cut at the end.
        **common: Arguments of `TextData`; `max_length` counts question and text.

    Raises:
        DataError: A number is out of range.
    """

    def __init__(
        self, *, stride: int = 128, max_question: int = 64, max_length: int | None = 384, **common: Any
    ) -> None:
        super().__init__(max_length=max_length, **common)
        for name, value in (("stride", stride), ("max_question", max_question)):
            if value < 1:
                raise DataError(f"Expected data.{name} to be at least 1 token but got {value}.")
        self.stride = stride
        self.max_question = max_question

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of questions by split, with and without an answer."""
        return self._questions

    def setup(self, stage: str | None = None) -> None:
        """Load, split, tokenise and publish `spec`, and make a row a window; a second call does nothing."""
        if hasattr(self, "table") or (stage == "predict" and self._predicted is not None):
            return
        super().setup(stage)
        self._questions = super().counts()
        rows = self._rows
        number = np.arange(len(rows)) - np.searchsorted(rows, rows)  # of each window within its question
        table, (digests, whole) = self.table, self.digests

        def spread(column: Any) -> Any:
            return None if column is None else column[rows]

        self.table = replace(
            table,
            samples=[table.samples[row] for row in rows],
            targets=[table.targets[row] for row in rows],
            names=np.array(
                [f"{table.names[r]}#{n + 1}" if n else str(table.names[r]) for r, n in zip(rows, number, strict=True)]
            ),
            groups=spread(table.groups),
            folders=spread(table.folders),
            weights=spread(table.weights),
        )
        self.indices = {split: np.flatnonzero(np.isin(rows, own)) for split, own in self.indices.items()}
        # What is kept of a window depends on where it begins and ends.
        tokens = (own.numpy().tobytes() for own in self._encoded.tokens)
        self.digests = (
            [hashlib.blake2b(digests[r] + t, digest_size=16).digest() for r, t in zip(rows, tokens, strict=True)],
            whole,
        )

    def encode(self, samples: Sequence[Text], targets: Any) -> Encoded:
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
        answers: Sequence[tuple[Answer, ...]] = targets if targets is not None else [()] * len(samples)
        wanted = {
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

    def find(self, source: str, trained: Mapping[str, Any], spec: DataSpec, skip: bool) -> Asked:
        """Find questions, each with the text that it is asked of; see `found.find_questions`."""
        return self._asked(find_questions(source))

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve questions, which `asked` then holds."""
        self.asked = list(samples)
        super().predict_on(samples, spec)

    def lost(self, encoded: Encoded) -> str:
        """Say that it is questions that are cut."""
        return f" It is the questions that are cut, at {self.max_question} tokens (data.max_question)."


def span_of(answers: Sequence[Answer], places: Ints) -> list[int]:
    """First and last token of the first answer in a window; 0 and 0 where it does not stand in it whole.

    Args:
        answers: With the characters at which they begin.
        places: Begin and end of each token in the text ``(T, 2)``; -1 of those that are not of the text.
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
