from __future__ import annotations

import pytest

from tunesmith.backbone.transformers.source import digest, find_model
from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic_text import SyntheticText
from tunesmith.errors import DataError
from tunesmith.modality.text import TextPreprocess


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


def test_mistakes():
    with pytest.raises(DataError, match=r"^Expected samples >= 2 and sentences >= 1 but got 1 and 4.$"):
        SyntheticText(samples=1, split=Split())
