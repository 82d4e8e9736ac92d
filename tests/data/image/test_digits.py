import numpy as np
from sklearn.datasets import load_digits

from tunesmith.data.image.digits import Digits
from tunesmith.data.split.split import Split
from tunesmith.modality.image import ImagePreprocess


def test_digits():
    data = Digits(split=Split(), augment="none")
    data.connect(ImagePreprocess(size=32))
    data.setup("fit")
    assert sum(sum(n.values()) for n in data.counts().values()) == 1797
    assert (len(data.spec.class_names), data.spec.channels) == (10, 1)
    assert data.table.samples.max() == 255
    assert np.abs(data.table.samples / 255 * 16 - load_digits().images).max() < 0.04
    assert next(iter(data.train_dataloader()))["input"].shape == (32, 1, 32, 32)
