"""A run put together again from its folder, when what it was trained from is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.errors import RunError
from tunesmith.run.assembly.rebuild import MODEL, rebuild
from tunesmith.run.train import train


@pytest.fixture
def model(small_text, tmp_path):
    """A folder of a small BERT with weights, which the test may remove."""
    folder = tmp_path / "bert"
    shutil.copytree(small_text("bert"), folder)
    net = Transformers(str(folder), weights=None).net
    save_file(net.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def trained(quick, texts, model, *words):
    data = ["data=text_table", f"data.file={texts}", "backbone=transformers", f"backbone.name={model}"]
    folder = train(quick(*data, "trainer.max_epochs=1", "trainer.limit_train_batches=2", *words)).folder
    before = rebuild(str(folder), "last").task.state_dict()
    shutil.rmtree(model)
    return folder, before


@pytest.mark.parametrize("words", [["policy=full"], ["policy=linear_probe", "task.save=all"]], ids=" ".join)
def test_a_run_that_keeps_every_weight_needs_no_folder_of_the_model(words, quick, texts, model):
    folder, before = trained(quick, texts, model, *words)
    again = rebuild(str(folder), "last")
    assert again.preprocess.folder == str(folder / MODEL)
    after = again.task.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_one_that_keeps_what_it_changed_asks_for_the_rest(quick, texts, model):
    folder, _ = trained(quick, texts, model, "policy=linear_probe")
    assert not Path(folder, MODEL).exists()  # it would be of no use
    with pytest.raises(RunError, match=r"Expected the weights that the run began with .* are not available"):
        rebuild(str(folder), "last")
