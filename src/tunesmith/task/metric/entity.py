"""Score predicted tags, by entity, such as a name of several words, or by word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor

from tunesmith.errors import ConfigError
from tunesmith.target.result.entity import OUTSIDE, Entity, Scheme, entities, load_scheme, tags_of
from tunesmith.task.metric.metric import OfSequences


@final
class EntityScore(OfSequences):
    """Precision, recall or F1 of entities: one is correct if its type, first and last word are.

    Counted over all entities of a split, as in the CoNLL-2003 shared task, by seqeval in strict mode; an entity that
    reaches into truncated words is not found. 0 if there are no entities.

    Args:
        class_names: The tags, in the order of the indices.
        score: Which of the three.
        scheme: How tags mark the start of an entity.

    Raises:
        ConfigError: The tags do not follow the scheme.
        MissingExtraError: seqeval is not installed.
    """

    higher_is_better = True
    full_state_update = False
    right: Tensor
    said: Tensor
    true: Tensor

    def __init__(
        self, class_names: Sequence[str], score: Literal["precision", "recall", "f1"] = "f1", scheme: Scheme = "IOB2"
    ) -> None:
        super().__init__()
        self.class_names, self.of, self.scheme = tuple(class_names), score, scheme
        _check(self.class_names, scheme)
        for name in ("right", "said", "true"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, labels: Tensor, target: Tensor, text: Tensor) -> None:
        """Update with words; see `OfSequences.update`."""
        for found, truth in zip(self._entities(labels, text), self._entities(target, text), strict=True):
            self.right += len(found & truth)
            self.said += len(found)
            self.true += len(truth)

    def compute(self) -> Tensor:
        """Return a scalar."""
        of = {"precision": self.said, "recall": self.true, "f1": (self.said + self.true) / 2}[self.of]
        return self.right / torch.as_tensor(of).clamp_min(0.5)

    def _entities(self, labels: Tensor, text: Tensor) -> Iterable[frozenset[Entity]]:
        numbers, texts = labels.tolist(), text.tolist()
        edges = [0, *(i for i in range(1, len(texts)) if texts[i] != texts[i - 1]), len(texts)]
        return [entities(tags_of(numbers[a:b], self.class_names), self.scheme) for a, b in pairwise(edges) if a < b]


@final
class WordAccuracy(OfSequences):
    """Share of words with the correct tag; a word without a prediction is wrong."""

    higher_is_better = True
    full_state_update = False
    right: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "total"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, labels: Tensor, target: Tensor, text: Tensor) -> None:
        """Update with words; see `OfSequences.update`."""
        self.right += (labels == target).sum()
        self.total += len(target)

    def compute(self) -> Tensor:
        """Return a scalar."""
        return self.right / self.total.clamp_min(1)


def _check(names: Sequence[str], scheme: str) -> None:
    known = load_scheme(scheme)
    for name in names:
        try:
            if name != OUTSIDE and name[1:2] != "-":
                raise ValueError(name)
            known(name).is_valid()
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"Expected tags of {scheme}, such as B-PER, for metrics of entities but got '{name}'; name another "
                "scheme in each (task.metrics.entity_f1.scheme) or, if the tags are no entities, use "
                "task=tagging."
            ) from error
