"""Metrics of words against seqeval's own, on predictions recorded here."""

from __future__ import annotations

import random

import pytest
import torch

from tunesmith.errors import ConfigError
from tunesmith.task.metric.entity import EntityScore, WordAccuracy

NAMES = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def drawn(seed, texts=60):
    """Tags of texts of one to nine words, and what is said of them: right for most words."""
    rng = random.Random(seed)
    truth = [[rng.choice(range(5)) for _ in range(rng.randint(1, 9))] for _ in range(texts)]
    said = [[t if rng.random() < 0.7 else rng.choice(range(5)) for t in own] for own in truth]
    return said, truth


def flat(texts):
    values = torch.tensor([label for own in texts for label in own])
    return values, torch.tensor([i for i, own in enumerate(texts) for _ in own])


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_seqeval(seed):
    from seqeval.metrics import accuracy_score, classification_report
    from seqeval.scheme import IOB2

    said, truth = drawn(seed)
    words = [[[NAMES[i] for i in own] for own in texts] for texts in (truth, said)]
    expected = classification_report(*words, mode="strict", scheme=IOB2, output_dict=True)["micro avg"]
    (labels, text), (target, _) = flat(said), flat(truth)
    for score, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        metric = EntityScore(NAMES, score)
        metric.update(labels, target, text)
        assert metric.compute().item() == pytest.approx(expected[name], abs=1e-6)
        assert 0.1 < expected[name] < 0.9
    accuracy = WordAccuracy()
    accuracy.update(labels, target, text)
    assert accuracy.compute().item() == pytest.approx(accuracy_score(*words))


def test_batches_and_processes_are_counted_together():
    said, truth = drawn(3)
    whole, parts = EntityScore(NAMES), [EntityScore(NAMES), EntityScore(NAMES)]
    whole.update(flat(said)[0], flat(truth)[0], flat(said)[1])
    for part, rows in zip(parts, (slice(0, 7), slice(7, None)), strict=True):
        part.update(flat(said[rows])[0], flat(truth[rows])[0], flat(said[rows])[1])
    for name in ("right", "said", "true"):
        states = torch.stack([getattr(part, name) for part in parts])
        assert whole._reductions[name](states) == getattr(whole, name) > 0


def test_a_word_of_which_nothing_is_said_is_wrong():
    target, text = torch.tensor([1, 3, 4]), torch.zeros(3, dtype=torch.int64)
    said = torch.tensor([1, -1, -1])
    accuracy, recall = WordAccuracy(), EntityScore(NAMES, "recall")
    accuracy.update(said, target, text)
    recall.update(said, target, text)
    assert accuracy.compute() == pytest.approx(1 / 3)
    assert recall.compute() == 0  # the entity has two words


@pytest.mark.parametrize("names", [("NOUN", "VERB"), ("O", "IN"), ("O", "E-PER")])
def test_other_tags_are_refused(names):
    with pytest.raises(
        ConfigError, match=rf"^Expected tags of IOB2, such as B-PER, .*'{names[-1]}|'NOUN'.*task=tagging"
    ):
        EntityScore(names)
