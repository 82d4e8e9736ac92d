import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic_questions import SyntheticQuestions
from tunesmith.errors import DataError


@pytest.fixture
def make():
    return lambda **options: SyntheticQuestions(split=Split(by="auto"), **options)


def test_an_answer_stands_where_it_is_said_to(make):
    table = make(samples=202).load()
    assert len(table) == 202 and table.groups[-1] == 50
    for (question, context), answers in zip(table.samples, table.targets, strict=True):
        for text, begin in answers:
            assert context[begin : begin + len(text)] == text and text not in question
    none = sum(not answers for answers in table.targets)
    assert 20 < none < 60 and table.class_names == ("answer", "no answer")
    assert make(samples=40, impossible=0).load().class_names == ("answer",)


def test_mistakes(make):
    with pytest.raises(DataError, match=r"at least 8 data.samples, .* but got 3 and 0.2"):
        make(samples=3)
    with pytest.raises(DataError, match=r"below 1, but got 800 and 1"):
        make(impossible=1)
