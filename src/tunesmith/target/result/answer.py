"""Choose the answer to a question over all windows of its text, and score it."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Chosen(NamedTuple):
    """The answer chosen for each question.

    Attributes:
        question: Number of the question ``(Q,)``, ascending.
        window: Window with the best answer ``(Q,)``.
        none: Whether the question is predicted to have no answer ``(Q,)``.
    """

    question: Tensor
    window: Tensor
    none: Tensor


def choose(question: Tensor, best: Tensor, null: Tensor) -> Chosen:
    """Choose the best answer over all windows of each question, or none if every window prefers none.

    The rule of Devlin et al. (2019): compare the highest answer score of all windows with the lowest no-answer score.

    Args:
        question: Number of each window's question ``(W,)``.
        best: Score of the best answer in each window ``(W,)``.
        null: No-answer score of each window ``(W,)``, minus the margin that it must exceed.
    """
    import torch  # takes 2 s to import, and the comparison of runs does without

    questions, place = torch.unique(question, return_inverse=True)
    highest = torch.full(questions.shape, -torch.inf).to(best).scatter_reduce(0, place, best, "amax")
    lowest = torch.full(questions.shape, torch.inf).to(null).scatter_reduce(0, place, null, "amin")
    number = torch.arange(len(question), device=question.device)
    top = best == highest[place]
    window = torch.full_like(questions, len(question)).scatter_reduce(0, place[top], number[top], "amin")
    return Chosen(questions, window, lowest > highest)


def normalised(text: str) -> str:
    """Normalise an answer as SQuAD's evaluation script does: lower case, no punctuation, articles or double spaces."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(said: str, answers: Sequence[str]) -> float:
    """Return 1 if an answer is accepted, else 0; without accepted answers, the empty one is right."""
    return float(any(normalised(said) == normalised(answer) for answer in answers or ("",)))


def f1(said: str, answers: Sequence[str]) -> float:
    """Return the F1 of an answer's words, 0 to 1, against the most similar accepted answer."""
    return max(_overlap(normalised(said).split(), normalised(answer).split()) for answer in answers or ("",))


def _overlap(said: list[str], true: list[str]) -> float:
    if not said or not true:
        return float(said == true)
    common = sum((Counter(said) & Counter(true)).values())
    return 2 * common / (len(said) + len(true))
