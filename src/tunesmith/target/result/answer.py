"""Answers that stand in a text: the best of all windows of a question, and how right it is."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Chosen(NamedTuple):
    """What is said to each question, over its windows.

    Attributes:
        question: Its number ``(Q,)``, rising.
        window: The one with the best answer ``(Q,)``.
        none: Whether it is said to have no answer ``(Q,)``.
    """

    question: Tensor
    window: Tensor
    none: Tensor


def choose(question: Tensor, best: Tensor, null: Tensor) -> Chosen:
    """Choose the best answer of all windows; none where each of them would rather have none.

    That is the rule of BERT's authors (Devlin et al., 2019): the score of there being no answer is the lowest of all
    windows', the score of an answer the highest.

    Args:
        question: A number of the question that each window is of ``(W,)``.
        best: Score of the best answer of each ``(W,)``.
        null: Score of there being none ``(W,)``, less what it has to be above the other by.
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
    """Lower case, without punctuation, articles and more than one blank: as SQuAD's own script compares answers."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(said: str, answers: Sequence[str]) -> float:
    """Whether an answer is one of the accepted ones, 0 or 1; the empty one where there are none."""
    return float(any(normalised(said) == normalised(answer) for answer in answers or ("",)))


def f1(said: str, answers: Sequence[str]) -> float:
    """F1 of the words that an answer has in common with the accepted one that is most like it, 0 to 1."""
    return max(_overlap(normalised(said).split(), normalised(answer).split()) for answer in answers or ("",))


def _overlap(said: list[str], true: list[str]) -> float:
    if not said or not true:
        return float(said == true)
    common = sum((Counter(said) & Counter(true)).values())
    return 2 * common / (len(said) + len(true))
