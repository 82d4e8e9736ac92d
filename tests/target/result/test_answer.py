from __future__ import annotations

import torch

from tunesmith.target.result.answer import choose, exact_match, f1, normalised


def test_an_answer_is_compared_without_case_marks_and_articles():
    assert normalised(" The  U.S.A.,   an island ") == "usa island"
    assert exact_match("", ()) == f1("", ()) == 1 and exact_match("x", ()) == f1("x", ()) == 0
    assert f1("", ("x",)) == 0


def test_of_several_windows_the_best_answer_counts_and_none_where_all_say_so():
    question = torch.tensor([4, 4, 9, 9, 2])
    found = choose(question, torch.tensor([1.0, 3.0, 5.0, 6.0, 0.0]), torch.tensor([2.0, 9.0, 7.0, 8.0, 1.0]))
    assert (found.question.tolist(), found.window.tolist()) == ([2, 4, 9], [4, 1, 3])
    assert found.none.tolist() == [True, False, True]
