import sys

from tunesmith.config.check import signature
from tunesmith.sweep.executor.warm import warm


def test_what_a_check_reads_is_read_before(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    signature._of_source.cache_clear()
    warm(["tunesmith.head.mlp.MLP", "tunesmith.head.mlp.Gone", "nowhere.Thing"])
    known = signature._of_source.cache_info()
    signature.read("tunesmith.head.mlp.MLP")
    signature.read("tunesmith.backbone.tiny.Tiny")  # of the composed run
    assert signature._of_source.cache_info().hits == known.hits + 2
    assert not {"nowhere"} & (set(sys.modules) - before)
