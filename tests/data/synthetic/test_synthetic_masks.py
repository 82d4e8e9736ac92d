import numpy as np
import pytest

from tunesmith.contract.batch import IGNORED
from tunesmith.data.split.split import Split
from tunesmith.data.synthetic.synthetic_masks import COLOURS, SyntheticMasks, draw
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess


def make(**options):
    data = SyntheticMasks(split=Split(by="random", val=0, test=0.25), **options)
    data.connect(ImagePreprocess(size=32))
    data.setup("fit")
    return data


def test_a_mask_is_exact():
    """Without noise every pixel has the colour of its class, up to the shade of its shape."""
    for seed in range(20):
        image, mask = draw(np.random.default_rng(seed), 32, noise=0, border=0)
        colours = np.array([[0.5] * 3, *COLOURS])
        assert (np.abs(image / 255 - colours[mask]) < 0.11).all()
        grey = (image == image[..., :1]).all(axis=2)
        assert np.array_equal(grey, mask == 0)


def test_edges_do_not_count():
    for border in (1, 3):
        bare, masked = (draw(np.random.default_rng(3), 32, 0.1, b)[1] for b in (0, border))
        counts = masked != IGNORED
        assert np.array_equal(bare[counts], masked[counts]) and 0 < (~counts).sum() < counts.sum()


def test_images_depend_on_their_own_seed_alone():
    first = make(samples=12).spec.fingerprint
    assert make(samples=12, seed=5).spec.fingerprint == first
    assert make(samples=12, data_seed=1).spec.fingerprint != first
    assert make(samples=12, border=2).spec.fingerprint != first  # the same images, other masks


def test_what_is_asked_for_comes_out():
    data = make(samples=13, size=20)
    assert data.table.samples.shape == (13, 20, 20, 3) and data.table.targets.shape == (13, 20, 20)
    assert data.spec.class_names == ("background", "disc", "square") and data.spec.target == "mask"
    train = data.table.targets[data.indices["train"]]
    assert data.spec.train_counts == tuple((train == k).sum() for k in range(3))
    for wrong in ({"samples": 1}, {"size": 8}, {"noise": -1}, {"border": -1}):
        with pytest.raises(DataError, match="Expected samples >= 2"):
            make(**wrong)
