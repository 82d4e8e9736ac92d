import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic_tags import SyntheticTags
from tunesmith.errors import DataError
from tunesmith.target.result.entity import entities


@pytest.fixture
def make():
    return lambda **options: SyntheticTags(split=Split(by="random"), **options)


def test_names_are_new_and_the_words_around_them_are_not(make):
    table = make(samples=240).load()
    names, around = set(), set()
    for words, tags in zip(table.samples, table.targets, strict=True):
        named = entities(tuple(table.class_names[tag] for tag in tags))
        assert named and len(words) == len(tags)
        names |= {words[begin:end] for _, begin, end in named}
        around |= {word for word, tag in zip(words, tags, strict=True) if table.class_names[tag] == "O"}
    assert len(names) > 300 and len(around) < 60
    assert len(set(table.samples)) == 240


def test_it_is_a_function_of_its_seed(make):
    assert make().load().samples == make().load().samples != make(data_seed=1).load().samples
    with pytest.raises(DataError, match=r"at least 12 data.samples but got 3"):
        make(samples=3)
