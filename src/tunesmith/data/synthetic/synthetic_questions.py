"""Generate reports on persons, places and companies with new names, as in `synthetic_tags`, and questions on them."""

from __future__ import annotations

import random
from typing import final

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import QuestionArguments
from tunesmith.data.synthetic.synthetic_tags import draw_name
from tunesmith.data.table import Table
from tunesmith.data.tabular.qa_file import Answer
from tunesmith.data.text.questions import CLASSES, QuestionData
from tunesmith.errors import DataError

FACTS = (
    ("{a} works for {b}.", "Who does {a} work for?", "b"),
    ("{a} was born in {b}.", "Where was {a} born?", "b"),
    ("{a} has sold {b} to a bank.", "What has {a} sold?", "b"),
    ("The mayor of {a} is called {b}.", "Who is the mayor of {a}?", "b"),
    ("{b} is the oldest bridge in {a}.", "What is the oldest bridge in {a}?", "b"),
    ("On Monday, {b} was seen with {a}.", "Who was seen with {a}?", "b"),
)
"""Sentences, their questions, and the placeholder of the answer."""


@final
class SyntheticQuestions(QuestionData):
    """Generated reports with four questions each.

    Args:
        samples: Number of questions.
        impossible: Share of the questions whose sentence is missing from the report.
        data_seed: Seed of the reports; neither the split's nor the run's.
        **common: Arguments of `QuestionData`.
    """

    def __init__(
        self, *, samples: int = 800, impossible: float = 0.2, data_seed: int = 0, **common: Unpack[QuestionArguments]
    ) -> None:
        super().__init__(**common)
        if samples < 8 or not 0 <= impossible < 1:
            raise DataError(
                "Expected at least 8 data.samples, and data.impossible to be at least 0 and below 1, but got "
                f"{samples} and {impossible}."
            )
        self.samples = samples
        self.impossible = impossible
        self.data_seed = data_seed

    def load(self) -> Table:
        """Generate the reports."""
        rng = random.Random(self.data_seed)
        drawn = [asked for _ in range(-(-self.samples // 4)) for asked in _report(rng, self.impossible)][: self.samples]
        return Table(
            samples=[(question, context) for question, context, _ in drawn],
            targets=[answers for _, _, answers in drawn],
            class_names=CLASSES if any(not answers for _, _, answers in drawn) else CLASSES[:1],
            names=np.array([f"question{i:05d}" for i in range(len(drawn))]),
            modality=self.modality,
            groups=np.arange(len(drawn)) // 4,
            group_unit="report",
            kind="span",
        )


def _report(rng: random.Random, impossible: float) -> list[tuple[str, str, tuple[Answer, ...]]]:
    facts = [(fact, {key: " ".join(draw_name(rng)) for key in "ab"}) for fact in FACTS]
    rng.shuffle(facts)
    asked = rng.sample(facts, 4)
    hidden = [names for _, names in asked if rng.random() < impossible]
    context = " ".join(sentence.format(**names) for (sentence, _, _), names in facts if names not in hidden)
    found: list[tuple[str, str, tuple[Answer, ...]]] = []
    for (sentence, question, key), names in asked:
        begin = context.find(sentence.format(**names))
        answer = names[key], begin + sentence.format(**names).find(names[key])
        found.append((question.format(**names), context, () if begin < 0 else (answer,)))
    return found
