import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from tunesmith.contract.batch import Batch
from tunesmith.contract.spec import DataSpec
from tunesmith.data.image.mixing import Mixing
from tunesmith.errors import DataError


def batch(target=(0, 1, 2, 1), weight=None):
    """Images of one value each, so that a mixture shows its shares."""
    target = torch.tensor(target)
    images = torch.arange(1.0, len(target) + 1).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).clone()
    made = Batch(input=images, target=target, index=torch.arange(len(target)) * 10)
    return made if weight is None else Batch(**made, weight=torch.tensor(weight))


def test_mixup_mixes_images_weights_and_weighted_targets_in_the_same_shares():
    mixed = Mixing(mixup=1.0)(batch(weight=[1.0, 2.0, 3.0, 4.0]), seed=3, num_classes=3)
    share = float(mixed["input"][1, 0, 0, 0]) - 1  # of class 1 in the second sample, which is mixed with class 0
    one = 2 * share / (2 * share + 1 - share)
    assert 0 < share < 1
    assert mixed["target"].dtype == torch.float32
    torch.testing.assert_close(mixed["target"].sum(1), torch.ones(4))
    torch.testing.assert_close(mixed["target"][1], torch.tensor([1 - one, one, 0]))
    torch.testing.assert_close(mixed["input"][1], torch.full((3, 8, 8), share * 2 + (1 - share) * 1))
    torch.testing.assert_close(mixed["weight"][1], torch.tensor(share * 2 + (1 - share) * 1))
    assert mixed["index"].tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_label_of_a_sample_of_weight_0_stays_out_and_two_of_them_do_no_harm(kind):
    mixed = Mixing(**{kind: 1.0})(batch(weight=[0.0, 2.0, 0.0, 0.0]), seed=3, num_classes=3)
    torch.testing.assert_close(mixed["target"][1], torch.tensor([0.0, 1.0, 0.0]))
    assert 0 < float(mixed["weight"][1]) < 2
    assert mixed["weight"][3] == 0
    torch.testing.assert_close(mixed["target"].sum(1), torch.ones(4))


def test_cutmix_puts_a_box_of_the_other_image_and_shares_by_area():
    for seed in range(5):
        mixed = Mixing(cutmix=1.0)(batch(), seed, 3)
        assert set(mixed["input"][1].unique().tolist()) <= {1.0, 2.0}
        area = float((mixed["input"][1, 0] == 1.0).float().mean())
        torch.testing.assert_close(mixed["target"][1], torch.tensor([area, 1 - area, 0]))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_whole_number_is_a_strength_too(kind):
    one, other = (Mixing(**{kind: strength})(batch(), 0, 3)["input"] for strength in (1, 1.0))
    assert torch.equal(one, other)


def test_with_both_each_batch_draws_one():
    kinds = [len(Mixing(1.0, 1.0)(batch(), seed, 3)["input"][1].unique()) for seed in range(40)]
    mixup = [float(Mixing(1.0, 1.0)(batch(), seed, 3)["input"][1, 0, 0, 0]) not in (1.0, 2.0) for seed in range(40)]
    assert 2 in kinds
    assert 8 < sum(mixup) < 32


@pytest.mark.parametrize("target", [[[0.0, 1.0], [1.0, 1.0]], [[-3.5, 10.0], [2.0, 8.0]]])
def test_labels_and_values_are_mixed_linearly(target):
    mixed = Mixing(mixup=1.0)(batch(target), 1, num_classes=2)
    share = 2 - float(mixed["input"][0, 0, 0, 0])
    one, other = torch.tensor(target)
    torch.testing.assert_close(mixed["target"][0], share * one + (1 - share) * other)
    assert "weight" not in mixed


def test_what_comes_out_is_a_function_of_seed_epoch_and_rows(streams):
    mixing, before = Mixing(mixup=0.4), streams()
    seeds = [mixing.seed(*parts) for parts in ((0, 1, [3, 4]), (0, 2, [3, 4]), (1, 1, [3, 4]), (0, 1, [4, 3]))]
    assert len({float(mixing(batch(), s, 3)["target"][1, 0]) for s in seeds}) == 4
    torch.manual_seed(5)
    first = mixing(batch(), seeds[0], 3)["input"]
    torch.manual_seed(6)
    assert torch.equal(mixing(batch(), seeds[0], 3)["input"], first)
    torch.set_rng_state(torch.tensor(before[3], dtype=torch.uint8))
    mixing(batch(), seeds[0], 3)
    assert streams() == before


def test_the_last_epochs_see_whole_images():
    assert [Mixing(mixup=0.2, off_epochs=2).applies(e, 5) for e in range(5)] == [True, True, True, False, False]
    assert Mixing(cutmix=0.2, off_epochs=2).applies(99, -1)
    assert Mixing(cutmix=0.2, off_epochs=2).applies(99, None)
    assert not Mixing(off_epochs=0).applies(0, 5)


def test_strengths_and_targets_that_cannot_be():
    for wrong in ((-1.0, 0.0, 0), (0.0, -1.0, 0), (0.0, 0.0, -1)):
        with pytest.raises(DataError, match=r"data.mixup, data.cutmix and data.mix_off_epochs to be at least 0"):
            Mixing(*wrong)
    ordinal = DataSpec(("a", "b"), 3, "", "sample", target="ordinal")
    with pytest.raises(DataError, match=r"data.mixup=0 and data.cutmix=0 for ordered classes"):
        Mixing(mixup=0.1).check(ordinal)
    Mixing().check(ordinal)


class Watch(LightningModule):
    """Writes down what comes in."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        self.seen = {"train": [], "val": [], "test": [], "predict": []}

    def note(self, batch, stage):
        target = batch["target"] if stage != "predict" else batch["index"]
        self.seen[stage].append((self.current_epoch, target.clone(), batch["input"].clone(), batch["index"].tolist()))

    def training_step(self, batch):
        self.note(batch, "train")
        return self.net(batch["input"].mean((1, 2, 3))[:, None]).mean()

    def validation_step(self, batch):
        self.note(batch, "val")

    def test_step(self, batch):
        self.note(batch, "test")

    def predict_step(self, batch):
        self.note(batch, "predict")
        return batch["index"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def trainer(path, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Trainer(default_root_dir=path, use_distributed_sampler=False, enable_checkpointing=False, **quiet, **options)


def test_only_training_is_mixed_and_a_second_run_mixes_the_same(squares, tmp_path):
    runs = []
    for _ in range(2):
        model, data = Watch(), squares(mixup=0.5, cutmix=1.0, mix_off_epochs=1, batch_size=8)
        trainer(tmp_path, max_epochs=3).fit(model, datamodule=data)
        runs.append(model.seen)
    seen = runs[0]
    assert [t.shape[1:] for e, t, _, _ in seen["train"]] == [(3,)] * 8 + [()] * 4
    assert {t.dtype for e, t, _, _ in seen["train"] if e == 2} == {torch.int64}
    assert all(t.ndim == 1 for _, t, _, _ in seen["val"])
    assert all(torch.equal(a[2], b[2]) for a, b in zip(runs[0]["train"], runs[1]["train"], strict=True))
    for _, target, _, index in seen["train"][:8]:  # a sample keeps its row, and some of its class
        assert (target[torch.arange(len(index)), torch.tensor(index) % 3] > 0).float().mean() > 0.5


@pytest.mark.parametrize(("kind", "number"), [("flips", 2), ("symmetries", 8), ("five_crops", 5)])
def test_several_views_are_for_test_and_prediction_alone(squares, tmp_path, kind, number):
    model, data = Watch(), squares(root=tmp_path, test_views=kind, batch_size=16)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    run.test(model, datamodule=data, verbose=False)
    data.predict_on([data.table.samples[row] for row in data.indices["test"]], data.spec)
    run.predict(model, datamodule=data)
    views = {stage: {len(x) / len(index) for _, _, x, index in seen} for stage, seen in model.seen.items()}
    assert views == {"train": {1}, "val": {1}, "test": {number}, "predict": {number}}
    assert torch.equal(model.seen["test"][0][2], model.seen["predict"][0][2])


def test_one_view_of_five_crops_is_no_more_than_eight_sevenths_larger(squares):
    data = squares(size=14, test_views="five_crops")
    assert next(iter(data.test_dataloader()))["input"].shape[-2:] == (16, 16)
    assert next(iter(data.val_dataloader()))["input"].shape[-2:] == (14, 14)
    data.evaluate_on("val")
    assert next(iter(data.test_dataloader()))["input"].shape[-2:] == (16, 16)


def test_a_balanced_run_serves_the_rare_class_as_often(squares):
    data = squares(sampler="balanced", batch_size=8)
    rare = np.flatnonzero(data.table.targets[data.indices["train"]] == 0)[2:]
    data.indices["train"] = np.delete(data.indices["train"], rare)
    loader = data.train_dataloader()
    targets = torch.cat([b["target"] for b in loader])
    assert max(targets.bincount()) - min(targets.bincount()) <= 1
    assert len(targets) == len(data.indices["train"]) == 22
    first = {}
    for item in loader:  # the same image comes several times, each time augmented anew
        item["input"] = loader.dataset.augmentation(item["input"], item["meta"]["draw"])
        for index, image in zip(item["index"].tolist(), item["input"], strict=True):
            first.setdefault(index, set()).add(image.numpy().tobytes())
    assert max(len(views) for views in first.values()) > 1
