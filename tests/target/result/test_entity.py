from __future__ import annotations

from tunesmith.target.result.entity import by_type, entities, tags_of


def test_strictly_what_does_not_begin_is_none():
    assert entities(("I-PER", "O", "B-PER", "I-PER", "I-LOC")) == {("PER", 2, 4)}
    assert entities(("I-PER", "I-PER"), "IOE2") == frozenset()


def test_a_word_of_which_nothing_is_said_is_outside():
    assert tags_of([1, -1, 0], ("O", "B-X")) == ("B-X", "O", "O")


def test_scores_of_each_type():
    true, said = frozenset({("A", 0, 1), ("B", 2, 3)}), frozenset({("A", 0, 1), ("A", 4, 5)})
    rows = by_type([(said, true)]).to_dict("records")
    assert rows == [
        {"entity": "A", "precision": 0.5, "recall": 1, "f1": 2 / 3, "support": 1},
        {"entity": "B", "precision": 0, "recall": 0, "f1": 0, "support": 1},
    ]
