"""Metrics of written texts: the values of the field's own implementations on recorded predictions."""

from __future__ import annotations

import pytest
import sacrebleu
import torch
from rouge_score import rouge_scorer

from tunesmith.errors import ConfigError
from tunesmith.task.metric.text_metric import Bleu, Chrf, Rouge

SAID = ["the cat sat on the mat", "a dogs is running fast in the park", "", "Ein schöner Tag — 日本", "the the the"]
TRUTH = [
    "the cat is on the mat",
    "dogs run fast in a park",
    "nothing was written",
    "Ein schöner Tag — 日本語",
    "the cat\nsat there",
]


def given(metric, said=SAID, truth=TRUTH):
    metric.update(said, truth)
    return metric


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
@pytest.mark.parametrize("stem", [True, False])
def test_rouge(kind, stem):
    scorer = rouge_scorer.RougeScorer([kind], use_stemmer=stem)
    expected = sum(scorer.score(t, s)[kind].fmeasure for s, t in zip(SAID, TRUTH, strict=True)) / len(SAID)
    assert given(Rouge(kind, stem)).compute().item() == pytest.approx(expected, abs=1e-7) and 0.2 < expected < 0.8


def test_bleu_and_chrf():
    expected = sacrebleu.corpus_bleu(SAID, [TRUTH]).score
    assert given(Bleu()).compute().item() == pytest.approx(expected, abs=1e-5) and 5 < expected < 60
    assert given(Bleu(tokenize="char")).compute().item() == pytest.approx(
        sacrebleu.corpus_bleu(SAID, [TRUTH], tokenize="char").score, abs=1e-5
    )
    for order in (0, 2):
        expected = sacrebleu.corpus_chrf(SAID, [TRUTH], word_order=order).score
        assert given(Chrf(order)).compute().item() == pytest.approx(expected, abs=1e-5) and 20 < expected < 80


@pytest.mark.parametrize("make", [Rouge, Bleu, Chrf])
def test_steps_and_processes_are_scored_together(make):
    whole = given(make()).compute()
    steps = given(given(make(), SAID[:2], TRUTH[:2]), SAID[2:], TRUTH[2:])
    assert steps.compute() == whole
    ranks = [given(make(), SAID[:2], TRUTH[:2]), given(make(), SAID[2:], TRUTH[2:])]
    joined = make()
    joined.texts = torch.cat([part for rank in ranks for part in rank.texts])  # as torchmetrics brings them together
    joined._update_count = 1
    assert joined.compute() == whole


def test_nothing_written_is_no_number():
    metric = Bleu()
    metric.update([], [])
    assert metric.compute().isnan()


def test_an_unknown_kind():
    with pytest.raises(ConfigError, match=r"rouge1, rouge2, rougeL or rougeLsum but got 'rouge3'"):
        Rouge("rouge3")
