"""Words without a key on the command line."""

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


def test_both_ways_at_once_are_a_mistake():
    with pytest.raises(ConfigError, match="either words without a key or runs=… but got both"):
        with_keys("compare", ["logs/a", "runs=logs/b"])
