import numpy as np
import pytest
import torch
from torch import nn

from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic import Synthetic
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess


def make(**arguments):
    data = Synthetic(**{"split": Split(val=0, test=0.25)} | arguments)
    data.connect(ImagePreprocess(size=32))
    data.setup("fit")
    return data


def test_images_depend_on_their_own_seed_alone():
    first = make().spec.fingerprint
    assert make(seed=5, split=Split(seed=5)).spec.fingerprint == first
    assert make(data_seed=1).spec.fingerprint != first


def test_what_is_asked_for_comes_out():
    data = make(samples=101, classes=3, size=20)
    assert data.table.samples.shape == (101, 20, 20, 3)
    assert np.bincount(data.table.targets).tolist() == [34, 34, 33]
    assert data.spec.class_names == ("period_4.0", "period_6.3", "period_10.0")
    for wrong in ({"classes": 1}, {"size": 8}, {"noise": -1}, {"samples": 2}):
        with pytest.raises(DataError, match="Expected 2 <= classes"):
            make(**wrong)


def accuracy(data, epochs=8):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 3))
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    train, test = data.train_dataloader(), data.test_dataloader()
    for epoch in range(epochs):
        train.sampler.set_epoch(epoch)
        for batch in (data.on_after_batch_transfer(b, 0) for b in train):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(batch["input"]), batch["target"]).backward()
            optimizer.step()
    with torch.no_grad():
        right = [(net(b["input"]).argmax(1) == b["target"]) for b in (data.on_after_batch_transfer(b, 0) for b in test)]
    return float(torch.cat(right).float().mean())


def test_a_small_network_learns_it_and_does_not_where_there_is_nothing_to_learn():
    assert accuracy(make()) > 0.9
    shuffled = make()
    np.random.default_rng(0).shuffle(shuffled.table.targets)
    assert accuracy(shuffled, epochs=3) < 0.6
