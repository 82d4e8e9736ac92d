import numpy as np

from tunesmith.data.text.word_starts import find_words, first_tokens, joined


def test_words_and_marks():
    text = "  Anna lebt in Köln-Mülheim."
    assert [text[a:b] for a, b in find_words(text)] == ["Anna", "lebt", "in", "Köln", "-", "Mülheim", "."]


def test_words_are_joined_by_blanks():
    text, places = joined(("New York", "is", "big"))
    assert text == "New York is big"
    assert [text[a:b] for a, b in places] == ["New York", "is", "big"]


def test_a_word_begins_with_the_first_token_that_reaches_into_it():
    _, places = joined(("un", "happy", "☺", "man"))  # 0-2, 3-8, 9-10, 11-14
    marks = (0, 0)
    pieces = [marks, (0, 2), (3, 5), (5, 8), (9, 10), (9, 10), (11, 14), marks]
    assert first_tokens(places, np.array(pieces)).tolist() == [1, 2, 4, 6]
    with_blanks = [(0, 2), (2, 5), (5, 8), (8, 9), (9, 10), (10, 14)]
    assert first_tokens(places, np.array(with_blanks)).tolist() == [0, 1, 4, 5]


def test_a_word_that_was_cut_or_that_no_token_is_of_has_none():
    _, places = joined(("un", "happy", "☺", "man"))
    assert first_tokens(places, np.array([(0, 0), (0, 2), (3, 8), (0, 0)])).tolist() == [1, 2, -1, -1]
    assert first_tokens(places, np.array([(0, 2), (3, 8), (11, 14)])).tolist() == [0, 1, -1, 2]
    assert first_tokens(places, np.array([(0, 8), (9, 14)])).tolist() == [0, -1, 1, -1]  # one token of two words
    assert first_tokens(places, np.zeros((2, 2), np.int64)).tolist() == [-1] * 4
