"""Answers against torchmetrics' SQuAD, whose values are those of the published script, on answers recorded here."""

from __future__ import annotations

import itertools

import pytest
import torch
from torchmetrics.functional.text import squad

from tunesmith.target.result.answer import choose
from tunesmith.task.metric.answer import AnswerScore, best_spans

RECORDED = [
    ("the Eiffel Tower", ["Eiffel Tower", "The tower"]),
    ("1889", ["in 1889", "1889."]),
    ("Paris, France", ["Paris"]),
    ("a  dog", ["dogs"]),
    ("An", ["the"]),
    ("Gustave Eiffel's company", ["Eiffel's", "Gustave Eiffel"]),
    ("no idea", ["something else"]),
]


@pytest.mark.parametrize("score", ["exact_match", "f1"])
def test_values_are_those_of_squad(score):
    said, answers = zip(*RECORDED, strict=True)
    predictions = [{"id": str(i), "prediction_text": text} for i, text in enumerate(said)]
    targets = [
        {"id": str(i), "answers": {"text": list(own), "answer_start": [0] * len(own)}} for i, own in enumerate(answers)
    ]
    expected = squad(predictions, targets)[score].item() / 100
    metric, count = AnswerScore(score), len(said)
    for rows in (slice(0, 3), slice(3, None)):
        number = torch.arange(count)[rows]
        metric.update(
            number, torch.zeros(len(number)), torch.full((len(number),), -torch.inf), said[rows], answers[rows]
        )
    assert metric.compute().item() == pytest.approx(expected, abs=1e-6)
    assert 0.3 < expected < 0.8


def test_of_several_windows_the_best_answer_counts_and_none_where_all_say_so():
    metric = AnswerScore("exact_match")
    question = torch.tensor([4, 4, 9, 9, 2])
    best, null = torch.tensor([1.0, 3.0, 5.0, 6.0, 0.0]), torch.tensor([2.0, 9.0, 7.0, 8.0, 1.0])
    said, answers = ["no", "yes", "no", "no", "no"], [("yes",)] * 2 + [("yes",)] * 2 + [()]
    metric.update(question, best, null, said, answers)
    # 4: the lowest of 2 and 9 is under the highest of 1 and 3. 9: 7 is above 6, although it has an answer. 2 has none.
    assert metric.compute() == pytest.approx(2 / 3)
    found = choose(question, best, null)
    assert (found.question.tolist(), found.window.tolist()) == ([2, 4, 9], [4, 1, 3])
    assert found.none.tolist() == [True, False, True]
    assert not choose(question, best, torch.full((5,), -torch.inf)).none.any()


def test_the_best_span_is_the_best_of_all_that_are_allowed():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 9, 2, generator=generator)
    allowed = torch.rand(6, 9, generator=generator) > 0.3
    found = best_spans(outputs, allowed, 4)
    for row in range(6):
        pairs = [
            (float(outputs[row, a, 0] + outputs[row, b, 1]), a, b)
            for a, b in itertools.product(range(9), repeat=2)
            if a <= b < a + 4 and allowed[row, a] and allowed[row, b]
        ]
        best = max(pairs)
        assert found.score[row].item() == pytest.approx(best[0])
        assert (int(found.first[row]), int(found.last[row])) == best[1:]
    assert torch.isfinite(best_spans(torch.full((1, 3, 2), torch.nan), torch.ones(1, 3).bool(), 9).score).all()
