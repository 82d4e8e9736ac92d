import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torchvision import datasets

from tunesmith.data.image.torchvision_dataset import TorchvisionDataset
from tunesmith.data.split.split import Split
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess

RNG = np.random.default_rng(0)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


SETS = {
    "CIFAR10": ({"train": 90, "val": 10, "test": 10}, 10, (3, 32, 32)),
    "CIFAR100": ({"train": 200, "val": 100, "test": 100}, 100, (3, 32, 32)),
    "MNIST": ({"train": 50, "val": 10, "test": 20}, 10, (1, 28, 28)),
    "FashionMNIST": ({"train": 50, "val": 10, "test": 20}, 10, (1, 28, 28)),
    "Flowers102": ({"train": 102, "val": 102, "test": 102}, 102, (3, 16, 16)),
    "OxfordIIITPet": ({"train": 54, "val": 6, "test": 15}, 3, (3, 16, 16)),
    "Food101": ({"train": 22, "val": 2, "test": 8}, 2, (3, 16, 16)),
    "EuroSAT": ({"train": 23, "val": 4, "test": 9}, 3, (3, 16, 16)),
    "DTD": ({"train": 8, "val": 8, "test": 8}, 2, (3, 16, 16)),
    "Caltech101": ({"train": 23, "val": 4, "test": 9}, 3, (3, 16, 16)),
    "Caltech256": ({"train": 23, "val": 4, "test": 9}, 3, (3, 16, 16)),
    "PCAM": ({"train": 12, "val": 4, "test": 4}, 2, (3, 96, 96)),
    "FER2013": ({"train": 28, "val": 7, "test": 14}, 7, (1, 48, 48)),
}
VAL = {"CIFAR100": 1 / 3, "MNIST": 1 / 6, "FashionMNIST": 1 / 6, "FER2013": 1 / 5, "EMNIST": 1 / 6}
UNSPLIT = ("EuroSAT", "Caltech101", "Caltech256")


def module(name, root, **options):
    split = Split(by="auto", val=VAL.get(name, 0.1))
    data = TorchvisionDataset(**{"name": name, "root": str(root), "split": split, "augment": "none"} | options)
    data.connect(ImagePreprocess(size=SETS[name][2][1] if name in SETS else 16))
    return data


@pytest.mark.parametrize("name", SETS)
def test_a_set_comes_in_its_own_splits(name, tmp_path, published):
    sizes, classes, shape = SETS[name]
    published(name, tmp_path)
    before = {p: md5(p) for p in tmp_path.rglob("*") if p.is_file()}
    data = module(name, tmp_path)
    data.setup()
    assert {s: len(rows) for s, rows in data.indices.items()} == sizes
    assert len(data.spec.class_names) == len(set(data.spec.class_names)) == classes
    assert data.spec.split_unit == ("sample" if name in UNSPLIT else "folder")
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape[1:] == shape
    assert {p: md5(p) for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", SETS)
def test_a_image_and_its_class_are_torchvisions(name, tmp_path, published):
    published(name, tmp_path)
    table = module(name, tmp_path).load()
    kind = getattr(datasets, name)
    theirs = kind(str(tmp_path), train=False) if "MNIST" in name or "CIFAR" in name else kind(str(tmp_path))
    if "MNIST" not in name and "CIFAR" not in name and name not in UNSPLIT:
        theirs = kind(str(tmp_path), split="test")
    rows = np.arange(len(table)) if table.folders is None else np.flatnonzero(table.folders == "test")
    assert len(rows) == len(theirs)
    for i in (0, len(rows) // 2, len(rows) - 1):
        image, label = theirs[i]
        own = table.samples[rows[i]]
        pixels = own if isinstance(own, np.ndarray) else np.asarray(Image.open(own).convert("RGB"))
        assert np.array_equal(pixels, np.asarray(image))
        assert table.targets[rows[i]] == label


def test_arrays_are_taken_whole_and_files_are_left_to_our_own_decoder(tmp_path, monkeypatch, published):
    published("CIFAR10", tmp_path)
    published("Food101", tmp_path)
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: pytest.fail("decoded"))
    monkeypatch.setattr(Image, "fromarray", lambda *args, **kwargs: pytest.fail("decoded"))
    assert module("CIFAR10", tmp_path).load().samples.shape == (110, 32, 32, 3)
    assert module("Food101", tmp_path).load().names[0] == "food-101/images/apple_pie/train0.jpg"


@pytest.mark.parametrize("name", SETS)
def test_what_is_not_there_is_said_with_what_to_do(name, tmp_path):
    with pytest.raises(DataError) as caught:
        module(name, tmp_path).load()
    missing = "train.csv not found" if name == "FER2013" else "Dataset not found"
    assert str(caught.value).startswith(f"Expected {name} in {tmp_path} but got: {missing}")
    assert ("use data.download=true, or put its files where" in str(caught.value)) == (name != "FER2013")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_pickle_is_not_read_unless_its_sum_is_the_published_one(tmp_path, published):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    published("CIFAR10", tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="not found or corrupted"):
        module("CIFAR10", tmp_path).load()
    assert not (tmp_path / "ran").exists()


def test_downloading_is_torchvisions_and_only_where_asked(tmp_path, monkeypatch, published):
    asked = []
    monkeypatch.setattr(datasets.EuroSAT, "download", lambda self: asked.append(1) or published("EuroSAT", tmp_path))
    with pytest.raises(DataError):
        module("EuroSAT", tmp_path).load()
    assert not asked
    assert len(module("EuroSAT", tmp_path, download=True).load()) == 36


def test_a_download_that_fails_is_one_sentence(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no route to host")

    monkeypatch.setattr(datasets.EuroSAT, "download", fail)
    with pytest.raises(DataError, match=r"EuroSAT in .* but got: no route to host; put its files where"):
        module("EuroSAT", tmp_path, download=True).load()


def test_a_class_that_stands_for_none_is_left_out(tmp_path, published, caplog):
    published("EMNIST", tmp_path)
    data = module("EMNIST", tmp_path, options={"split": "letters"})
    data.setup()
    assert data.spec.class_names == tuple("abcdefghijklmnopqrstuvwxyz")
    assert "Left out the class 'N/A', which no image has" in caplog.text
    theirs = datasets.EMNIST(str(tmp_path), split="letters", train=True)
    assert [theirs.classes[label] for _, label in theirs] == [
        data.spec.class_names[label] for label in data.table.targets[data.table.folders == "train"]
    ]


def test_files_that_a_dataset_opens_are_not_decoded(tmp_path, monkeypatch, published):
    published("Caltech101", tmp_path)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    table = module("Caltech101", tmp_path).load()
    assert table.names[0] == "caltech101/101_ObjectCategories/Faces/image_0001.jpg"
    assert table.class_names == ("Faces", "accordion", "wild_cat")


def test_images_without_a_class_are_refused_with_the_reason(tmp_path, published, monkeypatch):
    """The faces of the test split, in the one of its forms that leaves out what they show."""
    published("FER2013", tmp_path)
    folder = tmp_path / "fer2013"
    table = (folder / "fer2013.csv").rename(folder / "train.csv").read_text().splitlines()
    (folder / "test.csv").write_text("\n".join(["pixels", *(line.split(",")[1] for line in table[1:3])]) + "\n")
    sums = {part: (f"{part}.csv", md5(folder / f"{part}.csv")) for part in ("train", "test")}
    monkeypatch.setattr(datasets.FER2013, "_RESOURCES", datasets.FER2013._RESOURCES | sums)
    with pytest.raises(DataError, match=r"but FER2013 is not, or hides them \('NoneType' object .*image_folder"):
        module("FER2013", tmp_path).load()
    assert len(module("FER2013", tmp_path, options={"split": "train"}).load()) == 49


def test_further_arguments(tmp_path, published):
    published("DTD", tmp_path)
    one, two = (module("DTD", tmp_path, options={"partition": p}).load() for p in (1, 2))
    assert sorted(one.names) == sorted(two.names)
    assert one.names.tolist() != two.names.tolist()
    published("OxfordIIITPet", tmp_path)
    species = module("OxfordIIITPet", tmp_path, options={"target_types": "binary-category"}).load()
    assert species.class_names == ("Cat", "Dog")
    assert np.bincount(species.targets).tolist() == [25, 50]
    with pytest.raises(DataError, match=r"data.options to be arguments of DTD but got: .*'patition'"):
        module("DTD", tmp_path, options={"patition": 2}).load()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10", "a dataset of torchvision but got 'cifar10'. Did you mean 'CIFAR10'"),
        ("FakeData", "a dataset of classified images, as arrays or files, but FakeData is not"),
        ("utils", "a dataset of torchvision but got 'utils'"),
    ],
)
def test_names_that_are_no_dataset_of_classes(name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        module(name, tmp_path).load()


def test_arrays_with_channels_first_are_turned(tmp_path, monkeypatch):
    pixels = RNG.integers(0, 256, (6, 3, 5, 4), dtype=np.uint8)

    class First(datasets.VisionDataset):
        def __init__(self, root, train=True):
            self.data, self.labels = torch.from_numpy(pixels), [0, 1, 0, 1, 0, 1]

    monkeypatch.setattr(datasets, "SVHN", First)
    table = module("SVHN", tmp_path).load()
    assert np.array_equal(table.samples[:6], pixels.transpose(0, 2, 3, 1))
    assert table.class_names == ("0", "1")
