"""Accumulated batches against one batch that holds them all; norms stay frozen, since they see one batch at a time."""

from __future__ import annotations

import pytest
import torch

from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.callback.accumulation import WholeBatches
from tunesmith.run.record.quiet import quiet

WORDS = [
    *("policy.phases=[{train: [all], freeze: [norm]}]", "trainer.precision=64-true", "trainer.max_epochs=2"),
    *("test=null", "callback=none", "optimizer=sgd", "optimizer.momentum=0.9", "trainer.gradient_clip_val=0.5"),
]


TAGS = ["data=token_table", "task=token_classification", "backbone=transformers", "backbone.weights=null"]


def trained(quick, folder, size, accumulated, *more):
    """The weights after two epochs on 36 images."""
    folder = folder / str(size)
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    words = [f"data.batch_size={size}", f"trainer.accumulate_grad_batches={accumulated}", f"paths.run={folder}"]
    parts = assemble(quick(*WORDS, *words, *more, samples=60), folder, {})
    with quiet():
        parts.trainer.fit(parts.task, datamodule=parts.data)
    assert len(parts.data.indices["train"]) == 36
    return parts.task.state_dict()


def differing(one, other):
    return [k for k in one if not torch.allclose(one[k].double(), other[k].double(), rtol=0, atol=1e-6)]


# The last window holds one batch of 4 of two; the last holds a batch of 5 and one of 1.
SIZES = [(4, 2), (5, 2)]


@pytest.mark.parametrize(("size", "accumulated"), SIZES)
def test_it_is_one_batch_with_the_last_window_of_an_epoch(size, accumulated, quick, tmp_path):
    whole = trained(quick, tmp_path, size * accumulated, 1)
    assert differing(trained(quick, tmp_path, size, accumulated), whole) == []


@pytest.mark.parametrize(("part", "size"), [("on_before_optimizer_step", 4), ("on_before_backward", 5)])
def test_without_a_part_it_is_not(part, size, quick, tmp_path, monkeypatch):
    """Negative control: what Lightning makes of it."""
    whole = trained(quick, tmp_path, size * 2, 1)
    monkeypatch.setattr(WholeBatches, part, lambda *a: None)
    assert differing(trained(quick, tmp_path, size, 2), whole)


@pytest.fixture
def sentences(tmp_path, small_text):
    """60 sentences of one to seven words; a decoder without dropout, whose tokens do not depend on their padding."""
    file = tmp_path / "tags.conll"
    lengths = [1 + i * 5 % 7 for i in range(60)]
    file.write_text("\n".join("good B-X\n" + "film O\n" * (length - 1) for length in lengths))
    return [*TAGS, f"data.file={file}", f"backbone.name={small_text('llama')}", "head.dropout=0", "data.split.val=0.15"]


@pytest.mark.parametrize(("size", "accumulated"), [(4, 2), (5, 2)])
def test_where_batches_have_different_numbers_of_tokens_it_is_one_batch_too(
    size, accumulated, quick, tmp_path, sentences, monkeypatch
):
    more = [*sentences, "data.group_by_length=false", "trainer.gradient_clip_val=null"]
    whole = trained(quick, tmp_path, size * accumulated, 1, *more)
    assert differing(trained(quick, tmp_path, size, accumulated, *more), whole) == []
    # Negative control: counted by samples.
    monkeypatch.setattr("tunesmith.task.sequence.SequenceTask.terms", lambda task, batch: len(batch["index"]))
    assert differing(trained(quick, tmp_path, size, accumulated, *more), whole)
