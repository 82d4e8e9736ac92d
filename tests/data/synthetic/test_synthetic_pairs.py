from __future__ import annotations

import pytest

from tunesmith.backbone.transformers.source import digest, find_model
from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic_pairs import SyntheticPairs
from tunesmith.errors import DataError
from tunesmith.modality.text import TextPreprocess


@pytest.mark.parametrize("kind", ["translation", "summary"])
def test_the_pairs_are_words_of_the_tiny_models_and_no_test_is_learnt_by_heart(kind):
    split = Split(by="random", val=0.1, test=0.1)
    data = SyntheticPairs(kind=kind, samples=200, split=split)
    folder = find_model("package:tiny_t5")
    data.connect(TextPreprocess("t5", str(folder), digest(folder), 64, 58, "in_two_stacks"))
    data.setup("fit")
    assert all((tokens != 1).all() for tokens in data._tokens) and data.duplicates == []
    assert data.tokenizer.text(data.tokenizer.written(data._tokens[0]).tolist()) == data.table.targets[0]


def test_mistakes():
    with pytest.raises(DataError, match=r"^Expected [^\n]*2 to 1,260 samples, .* but got translation with 1261.$"):
        SyntheticPairs(samples=1261, split=Split())
