"""Find the best answer span of a window, and score all answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from tunesmith.target.result.answer import choose, exact_match, f1

STATES = ("question", "best", "null", "value", "empty")


class Best(NamedTuple):
    """The best answer of each window.

    Attributes:
        score: Sum of the outputs of its first and last token ``(B,)``, float32.
        first: Its first token ``(B,)``.
        last: Its last token ``(B,)``.
    """

    score: Tensor
    first: Tensor
    last: Tensor


def best_spans(outputs: Tensor, allowed: Tensor, longest: int) -> Best:
    """Find the best answer of each window among all spans that start and end at allowed tokens.

    Args:
        outputs: Outputs for start and end ``(B, T, 2)``.
        allowed: Whether each token belongs to the text ``(B, T)``.
        longest: Maximum number of tokens of an answer.
    """
    low = torch.finfo(torch.float32).min / 4  # the sum of two stays finite
    outputs = outputs.float().masked_fill(~allowed.unsqueeze(2), low).nan_to_num(low).clamp_min(low)
    begin, end = outputs.unbind(2)
    length = begin.shape[1]
    scores, firsts = [], []
    for more in range(min(longest, length)):  # one pair per start token, so that memory is not quadratic in T
        score, first = (begin[:, : length - more] + end[:, more:]).max(dim=1)
        scores.append(score)
        firsts.append(first)
    best, more_tokens = torch.stack(scores, dim=1).max(dim=1)
    first = torch.stack(firsts, dim=1).gather(1, more_tokens.unsqueeze(1)).squeeze(1)
    return Best(best, first, first + more_tokens)


@final
class AnswerScore(Metric):
    """Exact match or F1, averaged over questions, as in SQuAD's scripts (Rajpurkar et al., 2016, 2018).

    Args:
        score: Which of the two.
    """

    higher_is_better = True
    full_state_update = False
    question: list[Tensor]
    best: list[Tensor]
    null: list[Tensor]
    value: list[Tensor]
    empty: list[Tensor]

    def __init__(self, score: Literal["exact_match", "f1"] = "f1") -> None:
        super().__init__()
        self.of = score
        for name in STATES:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(
        self, question: Tensor, best: Tensor, null: Tensor, said: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> None:
        """Update with windows.

        Args:
            question: Question of each window ``(B,)``; see `choose`.
            best: Score of its best answer ``(B,)``.
            null: Score of no answer ``(B,)``.
            said: Its best answer.
            answers: Accepted answers of its question.
        """
        of = exact_match if self.of == "exact_match" else f1
        values = [of(text, accepted) for text, accepted in zip(said, answers, strict=True)]
        empty = [float(not accepted) for accepted in answers]
        found = (question, best.float(), null.float(), best.new_tensor(values), best.new_tensor(empty))
        for states, state in zip(self._states(), found, strict=True):
            states.append(state)

    def compute(self) -> Tensor:
        """Return a scalar."""
        question, best, null, value, empty = (dim_zero_cat(states) for states in self._states())
        chosen = choose(question, best, null)
        return torch.where(chosen.none, empty[chosen.window], value[chosen.window]).mean()

    def _states(self) -> tuple[list[Tensor], ...]:
        return self.question, self.best, self.null, self.value, self.empty
