import random

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.data.image.module import ImageData
from tunesmith.data.split.split import Split
from tunesmith.data.table import Table
from tunesmith.modality.image import ImagePreprocess


class Squares(ImageData):
    """Noise of 12 x 20 pixels in three classes, as pixels or as files."""

    def __init__(self, *, count=48, channels=3, root=None, **common):
        super().__init__(**{"split": Split(val=0.125, test=0.25)} | common)
        self.count, self.channels, self.root = count, channels, root

    def load(self):
        shape = (self.count, 12, 20) + ((3,) if self.channels == 3 else ())
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        names = np.array([f"p{i:03d}.png" for i in range(self.count)])
        images = pixels
        if self.root is not None:
            images = [self.root / name for name in names]
            for path, image in zip(images, pixels, strict=True):
                Image.fromarray(image).save(path)
        return Table(images, np.arange(self.count) % 3, ("a", "b", "c"), names, self.channels)


@pytest.fixture
def squares():
    """Makes a data module that is ready for its loaders."""

    def make(size=8, **arguments):
        data = Squares(**arguments)
        data.connect(ImagePreprocess(size=size))
        data.setup("fit")
        return data

    return make


@pytest.fixture
def streams():
    """Reads the state of the global random streams."""

    def read():
        numpy = np.random.get_state()
        return random.getstate(), numpy[1].tolist(), numpy[2:], torch.get_rng_state().tolist()

    return read


@pytest.fixture
def processes(monkeypatch):
    """Pretends to be one process of several."""

    def be(rank, world):
        monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
        monkeypatch.setattr("torch.distributed.get_rank", lambda: rank)
        monkeypatch.setattr("torch.distributed.get_world_size", lambda: world)

    return be
