import itertools
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from tunesmith.contract.spec import DataSpec
from tunesmith.data.split.split import Split
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess

# Python 3.12 warns of every fork of a process with threads; a torch loader with workers is one.
FORK = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
# Lightning recommends workers on sight; small runs here have none on purpose.
FEW = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
# Lightning 2.6 still asks torch's trees in a way that torch 2.15 deprecates.
LEAF = pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec:FutureWarning")


def read(loader, epochs=1):
    """All batches of some epochs, augmented, as plain numbers."""
    batches, augment = [], loader.dataset.augmentation
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            if augment is not None:
                batch["input"] = augment(batch["input"], batch["meta"]["draw"])
            batches.append([batch[k].tolist() for k in ("input", "target", "index")])
    return batches


def test_what_is_published(squares):
    data = squares()
    assert data.spec == DataSpec(
        ("a", "b", "c"),
        3,
        data.spec.fingerprint,
        "sample",
        train_counts=tuple(data.counts()["train"].values()),
        train_size=len(data.indices["train"]),
    )
    assert data.spec.fingerprint.startswith("content:")
    assert data.counts() == {
        "train": {"a": 10, "b": 10, "c": 10},
        "val": {"a": 2, "b": 2, "c": 2},
        "test": {"a": 4, "b": 4, "c": 4},
    }
    assert all(data.table.names[row] == f"p{row:03d}.png" for row in data.indices["test"])


def test_setup_reads_once(squares, monkeypatch):
    data = squares()
    monkeypatch.setattr(data, "load", lambda: pytest.fail("read again"))
    for stage in ("fit", "validate", "test", "predict"):
        data.setup(stage)


def test_the_runs_seed_orders_and_does_not_split(squares):
    one, other = squares(seed=1), squares(seed=2)
    assert np.array_equal(one.indices["test"], other.indices["test"])
    assert read(one.train_dataloader()) != read(other.train_dataloader())
    assert read(one.test_dataloader()) == read(other.test_dataloader())


def test_train_is_shuffled_and_evaluation_is_in_order(squares):
    data = squares()
    order = [index for _, _, indices in read(data.train_dataloader(), 2) for index in indices]
    assert sorted(order[:30]) == sorted(order[30:]) == data.indices["train"].tolist()
    assert order[:30] != order[30:] != sorted(order[30:])
    for loader, split in ((data.val_dataloader(), "val"), (data.test_dataloader(), "test")):
        assert [i for _, _, indices in read(loader) for i in indices] == data.indices[split].tolist()


@FORK
@pytest.mark.parametrize("in_memory", [False, True])
def test_workers_change_no_bit_also_when_they_outlive_an_epoch(squares, tmp_path, in_memory):
    def batches(workers):
        data = squares(workers=workers, in_memory=in_memory, root=tmp_path, augment="auto", batch_size=7)
        loader = data.train_dataloader()
        assert loader.persistent_workers is (workers > 0)
        return read(loader, 3)

    alone = batches(0)
    assert batches(2) == alone
    assert alone[:5] != alone[5:10] != alone[10:]


@FORK
@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_streams_stay_as_they_were(squares, streams, workers):
    data = squares(workers=workers)
    before = streams()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        read(loader)
    assert streams() == before


def test_a_loader_without_a_generator_of_its_own_would_disturb_them(squares, streams):
    loader = squares().train_dataloader()
    loader.generator = None
    before = streams()
    read(loader)
    assert streams() != before


@FORK
def test_a_bad_image_is_one_sentence_also_from_a_worker(squares, tmp_path):
    data = squares(workers=1, in_memory=False, root=tmp_path)
    Path(data.table.samples[int(data.indices["train"][3])]).write_bytes(b"")
    with pytest.raises(DataError, match=r"^Expected a readable image but got \S+: none of the formats[^\n]*$"):
        read(data.train_dataloader())


@pytest.mark.parametrize("channels", [1, 3])
def test_prediction_prepares_images_as_evaluation_does(squares, tmp_path, channels):
    trained = squares(root=tmp_path, channels=channels, in_memory=True)
    evaluated = [input for b in read(trained.test_dataloader()) for input in b[0]]
    files = [trained.table.samples[row] for row in trained.indices["test"]]
    data = type(trained)(root=tmp_path / "gone")
    data.connect(trained.preprocess)
    data.predict_on(files, trained.spec)
    data.setup("predict")
    predicted = read(data.predict_dataloader())
    assert [input for b in predicted for input in b[0]] == evaluated
    assert [t for b in predicted for t in b[1]] == [-1] * 12
    assert [i for b in predicted for i in b[2]] == list(range(12))
    assert data.spec == trained.spec


def test_any_split_can_be_evaluated_without_augmentation(squares):
    data = squares(augment="auto")
    data.evaluate_on("train")
    first = read(data.test_dataloader())
    assert [i for b in first for i in b[2]] == data.indices["train"].tolist()
    assert read(data.test_dataloader(), 2) == first * 2
    with pytest.raises(DataError, match="Did you mean 'val'"):
        data.evaluate_on("vall")


def test_without_a_split_there_is_no_loader(squares):
    data = squares(split=Split(val=0, test=0))
    assert data.val_dataloader() == data.test_dataloader() == []
    data.evaluate_on("val")
    with pytest.raises(DataError, match="Expected a split with images but got 'val'"):
        data.test_dataloader()
    with pytest.raises(DataError, match="call predict_on first"):
        data.predict_dataloader()
    with pytest.raises(DataError, match="at least one image or text to predict on"):
        data.predict_on([], data.spec)


def test_dropping_the_last_batch(squares):
    assert [len(b[2]) for b in read(squares(batch_size=20, drop_last=True).train_dataloader())] == [20]
    assert [len(b[2]) for b in read(squares(batch_size=20).train_dataloader())] == [20, 10]
    with pytest.raises(DataError, match="at least one full batch of 31 but train holds 30"):
        squares(batch_size=31, drop_last=True).train_dataloader()
    with pytest.raises(DataError, match="batch_size to be at least 1"):
        squares(batch_size=0)


def test_evaluation_in_two_processes_marks_what_fills_up(squares, processes):
    data = squares(split=Split(val=0, test=11 / 48), batch_size=3)
    seen = []
    for rank in range(2):
        processes(rank, 2)
        seen += [i for b in read(data.test_dataloader()) for i in b[2]]
    assert sorted(seen) == [-1, *data.indices["test"].tolist()]


def test_images_are_decoded_once_a_run(squares):
    data = squares(in_memory=True)
    assert data.train_dataloader().dataset is data.train_dataloader().dataset
    before = data.train_dataloader().dataset
    data.connect(ImagePreprocess(size=10))
    assert data.train_dataloader().dataset is not before
    assert next(iter(data.train_dataloader()))["input"].shape == (30, 3, 11, 18)  # still to be cropped to 10 x 10


def test_grey_images_travel_as_one_channel(squares):
    data = squares(channels=1, augment="none")
    batch = next(iter(data.train_dataloader()))
    assert (batch["input"].dtype, batch["input"].shape) == (torch.uint8, (30, 1, 8, 8))
    assert data.on_after_batch_transfer(batch, 0)["input"].shape == (30, 3, 8, 8)


def test_a_one_channel_backbone_takes_no_colour(squares):
    data, grey = squares(), squares(channels=1, augment="rotations")
    for d in (data, grey):
        d.connect(ImagePreprocess(size=8, mean=(0.5,), std=(0.2,)))
    batch = next(iter(grey.train_dataloader()))
    assert grey.on_after_batch_transfer(batch, 0)["input"].shape == (30, 1, 8, 8)
    with pytest.raises(DataError, match=r"use backbone.in_channels=3, or data.channels=1 with data=image_folder or im"):
        data.train_dataloader()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_backbone_of_other_channels_is_told_what_the_images_have(squares, channels):
    data = squares(channels=channels, augment="none")
    data.connect(ImagePreprocess(size=8, mean=(0.5,) * 4, std=(0.2,) * 4))
    with pytest.raises(DataError, match=rf"^Expected images of 4 .* use backbone.in_channels={channels}\.$"):
        data.train_dataloader()


def test_images_that_stand_in_two_splits_are_reported(squares, tmp_path, caplog):
    data = squares(root=tmp_path)
    assert data.duplicates == []
    train, test = int(data.indices["train"][0]), int(data.indices["test"][0])
    shutil.copy(data.table.samples[train], data.table.samples[test])
    table = data.table
    again = type(data)()
    again.load = lambda: table
    with caplog.at_level(logging.WARNING):
        again.setup("fit")
    assert again.duplicates == [(train, test)]
    assert "p0" in caplog.text


class Watch(LightningModule):
    """Writes down what comes in."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        self.seen, self.dtypes = [], set()

    def training_step(self, batch):
        self.seen.append((self.current_epoch, batch["index"].tolist(), float(batch["input"].float().sum())))
        self.dtypes.add(batch["input"].dtype)
        return self.net(batch["input"].mean((1, 2, 3))[:, None]).mean()

    def validation_step(self, batch):
        self.dtypes.add(batch["input"].dtype)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def trainer(path, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Trainer(default_root_dir=path, use_distributed_sampler=False, **quiet, **options)


@FORK
@pytest.mark.parametrize("workers", [0, 1])
@FEW
@LEAF
def test_a_resumed_run_goes_on_with_the_order_of_its_epoch(squares, tmp_path, workers):
    # Workers fetch ahead as soon as Lightning calls iter(), which it does before set_epoch.
    whole, before, after = Watch(), Watch(), Watch()
    trainer(tmp_path, max_epochs=3, enable_checkpointing=False).fit(whole, datamodule=squares(batch_size=8))
    first = trainer(tmp_path, max_epochs=1, enable_checkpointing=False)
    first.fit(before, datamodule=squares(batch_size=8))
    first.save_checkpoint(tmp_path / "a.ckpt")
    again = trainer(tmp_path, max_epochs=3, enable_checkpointing=False)
    again.fit(
        after, datamodule=squares(batch_size=8, workers=workers), ckpt_path=tmp_path / "a.ckpt", weights_only=True
    )
    assert [epoch for epoch, _, _ in after.seen] == [1] * 4 + [2] * 4
    assert before.seen + after.seen == whole.seen
    orders = [list(g) for _, g in itertools.groupby(whole.seen, key=lambda s: s[0])]
    assert orders[0][0][1] != orders[1][0][1] != orders[2][0][1]


@FEW
@LEAF
def test_half_precision_gets_half_inputs(squares, tmp_path):
    model = Watch()
    trainer(tmp_path, fast_dev_run=1, precision="bf16-true").fit(model, datamodule=squares())
    assert model.dtypes == {torch.bfloat16}


@FEW
@LEAF
@pytest.mark.filterwarnings("ignore:You requested to overfit")  # Lightning then replaces our sampler by its own
def test_overfitting_on_one_batch_sees_the_same_images(squares, tmp_path):
    model = Watch()
    run = trainer(tmp_path, max_epochs=2, overfit_batches=1, enable_checkpointing=False, limit_val_batches=0)
    run.fit(model, datamodule=squares(batch_size=4))
    assert model.seen[0][1:] == model.seen[1][1:]
    assert len(model.seen) == 2
