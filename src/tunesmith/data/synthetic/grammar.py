"""A small language with a translation of its own: sentences that are drawn by rules, so that answers are known."""

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
    """All 1,260 sentences, of six words each, such as ``the old dog waits here .``."""
    return [["the", *words, "."] for words in product(ADJECTIVES, NOUNS, VERBS, ADVERBS)]


def sentence(draw: random.Random) -> list[str]:
    """One of them."""
    return ["the", *(draw.choice(list(words)) for words in (ADJECTIVES, NOUNS, VERBS, ADVERBS)), "."]


def entropy() -> float:
    """Mean negative log-likelihood of a word of such sentences, in nats, for who knows the rules."""
    return sum(math.log(len(words)) for words in (ADJECTIVES, NOUNS, VERBS, ADVERBS)) / 6


def translated(words: list[str]) -> list[str]:
    """A sentence in the other language, in which adjectives stand behind nouns."""
    the, adjective, noun, *rest = words
    return [ENGLISH[word] for word in (the, noun, adjective, *rest)]


def document(draw: random.Random) -> tuple[list[str], list[str]]:
    """Three sentences, before one of which ``therefore`` stands; and a summary: the noun and the verb of that one."""
    drawn, chosen = [sentence(draw) for _ in range(3)], draw.randrange(3)
    words = [word for i, own in enumerate(drawn) for word in ([*["therefore"] * (i == chosen), *own])]
    return words, [drawn[chosen][2], drawn[chosen][3]]
