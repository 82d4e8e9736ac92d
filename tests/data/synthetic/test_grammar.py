from __future__ import annotations

import math
import random

from tunesmith.data.synthetic.grammar import ENGLISH, document, entropy, sentence, sentences, translated


def test_translations_are_of_each_word_and_adjectives_stand_behind():
    assert " ".join(translated(["the", "old", "dog", "waits", "here", "."])) == "lo cano vejo espera aqui ."
    assert len({tuple(translated(words)) for words in sentences()}) == len(sentences()) == 1260
    assert len(set(ENGLISH.values())) == len(ENGLISH)


def test_a_summary_is_of_the_sentence_with_therefore():
    draw = random.Random(3)
    for _ in range(20):
        words, summary = document(draw)
        place = words.index("therefore")
        assert words.count("therefore") == 1 and summary == [words[place + 3], words[place + 4]]


def test_the_entropy_is_that_of_the_rules():
    assert sentence(random.Random(1)) in sentences()
    assert math.isclose(entropy(), math.log(len(sentences())) / 6)
