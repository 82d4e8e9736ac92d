"""One gradient: batches of a step against one batch that holds them all.

Norms stay frozen, since they see one batch at a time; ranks are in tests/task/optimization/test_distributed.py.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from tunesmith.data.module import TableData
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record.quiet import quiet
from tunesmith.task.loss.loss import mean_loss
from tunesmith.task.loss.term import Term, objective, share_of_step

WORDS = [
    *("policy.phases=[{train: [all], freeze: [norm]}]", "trainer.precision=64-true", "trainer.max_epochs=2"),
    *("test=null", "callback=none", "optimizer=sgd", "optimizer.momentum=0.9", "trainer.gradient_clip_val=0.5"),
]


def test_a_term_is_a_sum_and_a_count():
    term = Term.of_sum(torch.tensor(6.0), 4)
    assert (term.mean, term.sum, term.count) == (1.5, 6, 4)
    assert Term.of_sum(torch.tensor(0.0), 0).mean == 0


def test_the_objective_adds_the_means_by_their_weights():
    terms = {"target": Term(torch.tensor(2.0), 8), "lm": Term(torch.tensor(3.0), 4)}
    assert objective(terms, {"lm": 0.5}) == 3.5
    assert objective(terms, {}) == 5


def test_shares_of_terms_that_count_different_things_add_up_to_the_mean_of_each():
    """Three batches, of a trainer that divides by 4; the two terms have no fixed ratio."""
    values = {"boxes": [[1.0], [2.0, 5.0], []], "classes": [[3.0, 4.0], [1.0], [7.0, 8.0]]}
    totals = {name: float(sum(map(len, batches))) for name, batches in values.items()}
    weights = {"boxes": 0.3}
    expected = 0.3 * np.mean([1, 2, 5]) + np.mean([3, 4, 1, 7, 8])
    found = 0.0
    for i in range(3):
        own = {name: Term.of_sum(torch.tensor(batches[i]).sum(), len(batches[i])) for name, batches in values.items()}
        found += float(share_of_step(own, weights, totals, 4, uneven=False)) / 4
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_full_batch_of_a_step_keeps_its_bits():
    mean = torch.tensor(1 / 3)
    for totals, batches in ((None, 1), ({"target": 21.0}, 3)):
        assert share_of_step({"target": Term(mean, 7)}, {}, totals, batches, uneven=False) is mean


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1), nn.MSELoss()])
def test_torchs_own_losses_are_terms_too(loss):
    torch.manual_seed(0)
    outputs = torch.randn(7, 3, requires_grad=True)
    target = torch.randn(7, 3) if isinstance(loss, nn.MSELoss) else torch.randint(3, (7,))
    (whole,) = torch.autograd.grad(loss(outputs, target), outputs)
    found = torch.zeros_like(whole)
    for rows in (slice(0, 4), slice(4, 7)):
        own = outputs[rows]
        term = Term(mean_loss(loss, own, target[rows], None), len(own))
        share = share_of_step({"target": term}, {}, {"target": 7.0}, 2, uneven=False) / 2
        found += torch.autograd.grad(share, outputs)[0]
    assert torch.allclose(found, whole, atol=1e-7)


def trained(quick, folder, size, *more):
    """The weights after two epochs on 36 samples."""
    folder.mkdir()
    torch.manual_seed(0)
    cfg = quick(*WORDS, f"data.batch_size={size}", f"paths.run={folder}", *more, samples=60)
    parts = assemble(cfg, folder, {})
    with quiet():
        parts.trainer.fit(parts.task, datamodule=parts.data)
    return parts.task.state_dict()


def differing(one, other):
    return [k for k in one if not torch.allclose(one[k].double(), other[k].double(), rtol=0, atol=1e-6)]


@pytest.fixture
def kinds(tmp_path, small_text):
    """Data and task of each kind, none with dropout, which batches draw otherwise than one batch."""
    rng, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(images / f"{i}.png")
    columns = {"path": [f"{i}.png" for i in range(60)], "label": [f"c{i % 3}" for i in range(60)]}
    pd.DataFrame({**columns, "weight": rng.uniform(0, 2, 60)}).to_csv(images / "table.csv", index=False)
    lengths = [1 + i * 5 % 7 for i in range(60)]
    tags = tmp_path / "tags.conll"
    tags.write_text("\n".join("good B-X\n" + "film O\n" * (length - 1) for length in lengths))
    texts = tmp_path / "texts.csv"
    texts.write_text("text,label\n" + "".join(f"good film {'very ' * (i % 5)},{'ab'[i % 2]}\n" for i in range(60)))
    decoder = ["backbone=transformers", "backbone.weights=null", f"backbone.name={small_text('llama')}"]
    text = [*decoder, "data.group_by_length=false", "head.dropout=0", "trainer.gradient_clip_val=null"]
    return {
        "class": [],
        "mask": ["data=synthetic_masks", "data.samples=60", "task=segmentation"],
        "weighted": ["data=image_table", f"data.file={images}/table.csv", "data.labels=label", "data.weight=weight"],
        "tags": ["data=token_table", f"data.file={tags}", "task=token_classification", *text, "data.split.val=0.15"],
        "joint": ["data=text_table", f"data.file={texts}", "task=joint", "data.unlabelled=train", *text],
    }


# The last step of an epoch has one batch of 4 of two; or a batch of 5 and one of 1.
WAYS = {
    "accumulated": (4, ["trainer.accumulate_grad_batches=2"]),
    "accumulated, uneven": (5, ["trainer.accumulate_grad_batches=2"]),
    "micro-batches": (8, ["trainer.micro_batch_size=2"]),
    "both": (4, ["trainer.micro_batch_size=2", "trainer.accumulate_grad_batches=2"]),
}


@pytest.mark.parametrize("kind", ["class", "mask", "weighted", "tags", "joint"])
@pytest.mark.parametrize("way", WAYS)
def test_one_gradient(way, kind, kinds, quick, tmp_path):
    size, words = WAYS[way]
    whole = trained(quick, tmp_path / "whole", 10 if size == 5 else 8, *kinds[kind])
    assert differing(trained(quick, tmp_path / "parts", size, *kinds[kind], *words), whole) == []


@pytest.mark.parametrize(
    ("kind", "way"), [("class", "accumulated"), ("tags", "micro-batches"), ("mask", "micro-batches")]
)
def test_without_totals_it_is_another_one(kind, way, kinds, quick, tmp_path, monkeypatch):
    """Negative control: what a trainer makes of plain means."""
    size, words = WAYS[way]
    whole = trained(quick, tmp_path / "whole", 8, *kinds[kind])
    monkeypatch.setattr(TableData, "count_by", lambda data, counts: None)
    assert differing(trained(quick, tmp_path / "parts", size, *kinds[kind], *words), whole)
