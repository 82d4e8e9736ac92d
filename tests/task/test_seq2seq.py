from __future__ import annotations

import pytest

from tunesmith.errors import ConfigError
from tunesmith.run.train import train
from tunesmith.task.seq2seq import Seq2Seq

MODEL = ["backbone=transformers", "backbone.weights=null", "data.batch_size=8"]
COLUMNS = ["data.source=text", "data.target=text"]


def test_a_bounded_part_of_validation_is_written(monkeypatch, quick, small_text, texts):
    asked, original = [], Seq2Seq._write
    monkeypatch.setattr(Seq2Seq, "_write", lambda self, x: asked.append(len(x["input_ids"])) or original(self, x))
    data = ["data=pair_table", f"data.file={texts}", *COLUMNS, "data.split={val: 0.5, test: 0.25}"]
    words = [*data, *MODEL, f"backbone.name={small_text('bart')}", "task=seq2seq", "trainer.max_epochs=1"]
    train(quick(*words, "task.generate={samples: 11, max_new_tokens: 4, num_beams: 2}", "test=null"))
    assert asked == [8, 3]  # of 64 in batches of 8
    metrics = train(quick(*words, "task.generate.samples=0", "test=null")).metrics
    assert len(asked) == 2 and "val/token_accuracy" in metrics and "val/bleu" not in metrics
    with pytest.raises(ConfigError, match=r"^Expected validation texts to be generated for task.monitor=val/bleu but"):
        train(quick(*words, "task.generate.samples=0", "task.monitor=val/bleu", "task.mode=max"))
