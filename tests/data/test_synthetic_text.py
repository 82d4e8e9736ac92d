from __future__ import annotations

import pytest

from tunesmith.backbone.transformers_source import digest, find_model
from tunesmith.contracts import TextPreprocess
from tunesmith.data.split import Split
from tunesmith.data.synthetic_pairs import SyntheticPairs
from tunesmith.data.synthetic_text import SyntheticText
from tunesmith.errors import DataError


def ready(data, name, reads):
    folder = find_model(f"package:tiny_{name}")
    data.connect(TextPreprocess(name, str(folder), digest(folder), 64, 58, reads))
    data.setup("fit")
    return data


def test_the_texts_are_words_of_the_tiny_models():
    data = ready(SyntheticText(samples=40, split=Split(val=0.1, test=0.1)), "gpt2", "forward")
    assert {tokens.shape[1] for tokens in data._tokens} == {4 * 6 + 2} and data.spec.target == "tokens"
    assert all((tokens != 1).all() for tokens in data._tokens)  # no word is unknown
    assert data.table.samples == SyntheticText(samples=40, split=Split()).load().samples
    assert data.table.samples != SyntheticText(samples=40, data_seed=1, split=Split()).load().samples


@pytest.mark.parametrize("kind", ["translation", "summary"])
def test_the_pairs_too_and_no_test_is_learnt_by_heart(kind):
    split = Split(by="random", val=0.1, test=0.1)
    data = ready(SyntheticPairs(kind=kind, samples=200, split=split), "t5", "in_two_stacks")
    assert all((tokens != 1).all() for tokens in data._tokens) and data.duplicates == []
    assert data.tokenizer.text(data.tokenizer.written(data._tokens[0]).tolist()) == data.table.targets[0]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SyntheticText(samples=1, split=Split()), "samples >= 2 and sentences >= 1 but got 1 and 4"),
        (lambda: SyntheticPairs(samples=1261, split=Split()), "2 to 1,260 samples, .* but got translation with 1261"),
    ],
)
def test_mistakes(make, sentence):
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        make()
