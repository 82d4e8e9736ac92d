"""Words on the command line that Hydra's grammar is not for."""

from __future__ import annotations

import pytest

from tunesmith.config.compose import compose
from tunesmith.config.positional import with_keys
from tunesmith.errors import ConfigError


@pytest.mark.parametrize(
    "words",
    [["logs/digits"], ["a", "b/2026-*"], ["it's", 'a "b"'], ["a b", "c,d", "e[1]"], ["~/logs", "\\x", "\\'x", "x\\\\"]],
)
def test_words_come_through_as_they_are(words):
    assert list(compose("compare", with_keys("compare", words)).runs) == words


def test_keys_stay_and_a_folder_may_look_like_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=3").mkdir()
    assert with_keys("compare", ["lr=3", "metric=x"]) == ["metric=x", "runs=['lr=3']"]
    assert with_keys("compare", ["runs=a", "metric=x"]) == ["runs=a", "metric=x"]
    assert with_keys("train", ["photos", "seed=1"]) == ["photos", "seed=1"]


@pytest.mark.parametrize(
    "text",
    [
        "a plain text",
        "the [MASK] dog, it's (me) and {x}",
        "12",
        "true",
        "a=b",
        'he said "no"',
        "'tis",
        "x\\",
        "logs/a b.txt",
        "costs ${5}, or \\${HOME}",
    ],
)
def test_a_text_to_predict_on_is_taken_as_it_is_typed(text):
    words = with_keys("predict", ["run=logs/a", f"input={text}"])
    assert compose("predict", words).input == text


def test_a_text_that_is_quoted_for_hydra_stays_so():
    assert with_keys("predict", ["input='a, b'", 'input="x"']) == ["input='a, b'", 'input="x"']
    assert with_keys("train", ["input=[a]"]) == ["input=[a]"]


def test_both_ways_at_once_are_a_mistake():
    with pytest.raises(ConfigError, match="either words without a key or runs=… but got both"):
        with_keys("compare", ["logs/a", "runs=logs/b"])
