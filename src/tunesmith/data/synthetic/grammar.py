"""Generate sentences of a small language by rules, with translations and summaries, so that answers are known."""

from __future__ import annotations

import math
import random
from itertools import product

ADJECTIVES = {"red": "rojo", "old": "vejo", "small": "poco", "quiet": "calmo", "tall": "alto", "cold": "frio"}
NOUNS = {"house": "casa", "river": "rio", "dog": "cano", "tree": "arbo", "child": "nino", "bird": "avo", "king": "rego"}
VERBS = {"sleeps": "dorme", "sings": "canta", "waits": "espera", "falls": "cade", "grows": "crece", "runs": "corre"}
ADVERBS = {"here": "aqui", "there": "ali", "slowly": "lento", "today": "oje", "alone": "solo"}
OTHERS = {"the": "lo", ".": ".", "therefore": "pero"}

ENGLISH = {**OTHERS, **ADJECTIVES, **NOUNS, **VERBS, **ADVERBS}
"""Every word, and its translation."""


def sentences() -> list[list[str]]:
    """Return all 1,260 sentences, of six words each, such as ``the old dog waits here .``."""
    return [["the", *words, "."] for words in product(ADJECTIVES, NOUNS, VERBS, ADVERBS)]


def sentence(draw: random.Random) -> list[str]:
    """Draw one sentence."""
    return ["the", *(draw.choice(list(words)) for words in (ADJECTIVES, NOUNS, VERBS, ADVERBS)), "."]


def entropy() -> float:
    """Return the mean negative log-likelihood per word of a model that knows the rules, in nats."""
    return sum(math.log(len(words)) for words in (ADJECTIVES, NOUNS, VERBS, ADVERBS)) / 6


def translated(words: list[str]) -> list[str]:
    """Translate a sentence to the other language, in which adjectives follow nouns."""
    the, adjective, noun, *rest = words
    return [ENGLISH[word] for word in (the, noun, adjective, *rest)]


def document(draw: random.Random) -> tuple[list[str], list[str]]:
    """Draw three sentences, one of them after ``therefore``, and their summary: the noun and the verb of that one."""
    drawn, chosen = [sentence(draw) for _ in range(3)], draw.randrange(3)
    words = [word for i, own in enumerate(drawn) for word in ([*["therefore"] * (i == chosen), *own])]
    return words, [drawn[chosen][2], drawn[chosen][3]]
