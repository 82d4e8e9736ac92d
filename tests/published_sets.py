"""Small files in the formats that torchvision's datasets are published in; nothing is downloaded.

Torchvision reads them as it reads the real ones: where it checks sums, the sums that it expects are made those of these
files. The fixture `published` lays them out.
"""

import csv
import hashlib
import itertools
import json
import pickle
import struct

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

RNG = np.random.default_rng(0)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def image(path, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def pickled(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return [path.name, md5(path)]


def cifar10(root, monkeypatch):
    """Five batches of 20 and one of 10; torchvision's sums are made those of these files."""
    folder = root / "cifar-10-batches-py"

    def batch(name, count):
        pixels = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
        return pickled(folder / name, {"data": pixels, "labels": [i % 10 for i in range(count)]})

    monkeypatch.setattr(datasets.CIFAR10, "train_list", [batch(f"data_batch_{i}", 20) for i in range(1, 6)])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [batch("test_batch", 10)])
    meta = pickled(folder / "batches.meta", {"label_names": [f"class{i}" for i in range(10)]})
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})


def cifar100(root, monkeypatch):
    folder = root / "cifar-100-python"

    def batch(name, count):
        pixels = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
        return pickled(folder / name, {"data": pixels, "fine_labels": [i % 100 for i in range(count)]})

    monkeypatch.setattr(datasets.CIFAR100, "train_list", [batch("train", 300)])
    monkeypatch.setattr(datasets.CIFAR100, "test_list", [batch("test", 100)])
    meta = pickled(folder / "meta", {"fine_label_names": [f"class{i}" for i in range(100)]})
    monkeypatch.setattr(datasets.CIFAR100, "meta", {"filename": meta[0], "key": "fine_label_names", "md5": meta[1]})


def idx(name, parts=("train", "t10k"), labels=tuple(range(10))):
    def lay(root, monkeypatch):
        folder = root / name / "raw"
        folder.mkdir(parents=True)
        for part, count in zip(parts, (6 * len(labels), 2 * len(labels)), strict=True):
            pixels = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            header = struct.pack(">IIII", 0x803, count, 28, 28)
            (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
            written = np.resize(labels, count).astype(np.uint8).tobytes()
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + written)

    return lay


def flowers(root, monkeypatch):
    """A flower of each kind to train, one to validate and one to test."""
    folder = root / "flowers-102"
    for i in range(1, 307):
        image(folder / "jpg" / f"image_{i:05d}.jpg", (4, 4))
    savemat(folder / "imagelabels.mat", {"labels": np.arange(306)[None] % 102 + 1})
    parts = dict(zip(("tstid", "trnid", "valid"), np.arange(1, 307).reshape(3, 1, 102), strict=True))
    savemat(folder / "setid.mat", parts)
    sums = {key: (name, md5(folder / name)) for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat"))}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", datasets.Flowers102._file_dict | sums)


def pets(root, monkeypatch):
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, count in (("trainval", 20), ("test", 5)):
        lines = []
        for i in range(count):
            for number, (breed, species) in enumerate((("Abyssinian", 1), ("american_bulldog", 2), ("beagle", 2)), 1):
                image(folder / "images" / f"{breed}_{part}{i}.jpg")
                lines.append(f"{breed}_{part}{i} {number} {species} {i + 1}")
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")


def food(root, monkeypatch):
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for part, count in (("train", 12), ("test", 4)):
        listed = {dish: [f"{dish}/{part}{i}" for i in range(count)] for dish in ("apple_pie", "waffles")}
        for name in itertools.chain(*listed.values()):
            image(folder / "images" / f"{name}.jpg")
        (folder / "meta" / f"{part}.json").write_text(json.dumps(listed))


def eurosat(root, monkeypatch):
    for land in ("AnnualCrop", "Forest", "River"):
        for i in range(1, 13):
            image(root / "eurosat" / "2750" / land / f"{land}_{i}.jpg")


def dtd(root, monkeypatch):
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for partition in (1, 2):
        for start, part in enumerate(("train", "val", "test")):
            names = [
                f"{t}/{t}_{(i + 4 * (start + partition)) % 12:04d}.jpg" for t in ("banded", "woven") for i in range(4)
            ]
            (folder / "labels" / f"{part}{partition}.txt").write_text("\n".join(names) + "\n")
    for texture in ("banded", "woven"):
        for i in range(12):
            image(folder / "images" / texture / f"{texture}_{i:04d}.jpg")


def caltech101(root, monkeypatch):
    """Three classes, and the images that are of none."""
    for name in ("BACKGROUND_Google", "Faces", "accordion", "wild_cat"):
        for i in range(1, 13):
            image(root / "caltech101" / "101_ObjectCategories" / name / f"image_{i:04d}.jpg")


def caltech256(root, monkeypatch):
    for number, name in enumerate(("ak47", "american-flag", "backpack"), 1):
        for i in range(1, 13):
            image(root / "caltech256" / "256_ObjectCategories" / f"{number:03d}.{name}" / f"{number:03d}_{i:04d}.jpg")


def pcam(root, monkeypatch):
    """Patches of 96 px in HDF5, as published."""
    folder = root / "pcam"
    folder.mkdir(parents=True)
    for part, count in (("train", 12), ("valid", 4), ("test", 4)):
        for letter, content in (
            ("x", RNG.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)),
            ("y", (np.arange(count, dtype=np.uint8) % 2).reshape(count, 1, 1, 1)),
        ):
            with h5py.File(folder / f"camelyonpatch_level_2_split_{part}_{letter}.h5", "w") as file:
                file[letter] = content


def fer2013(root, monkeypatch, name="fer2013.csv"):
    """Faces of 48 px, a row of numbers each."""
    folder = root / "fer2013"
    folder.mkdir(parents=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for usage, count in (("Training", 35), ("PublicTest", 7), ("PrivateTest", 7)):
            for i in range(count):
                writer.writerow([i % 7, " ".join(map(str, RNG.integers(0, 256, 48 * 48))), usage])
    sums = {key: (file, md5(folder / file) if file == name else sum_) for key, (file, sum_) in RESOURCES.items()}
    monkeypatch.setattr(datasets.FER2013, "_RESOURCES", sums)


RESOURCES = datasets.FER2013._RESOURCES

SETS = {
    "CIFAR10": cifar10,
    "CIFAR100": cifar100,
    "MNIST": idx("MNIST"),
    "FashionMNIST": idx("FashionMNIST"),
    "Flowers102": flowers,
    "OxfordIIITPet": pets,
    "Food101": food,
    "EuroSAT": eurosat,
    "DTD": dtd,
    "Caltech101": caltech101,
    "Caltech256": caltech256,
    "PCAM": pcam,
    "FER2013": fer2013,
    "EMNIST": idx("EMNIST", ("emnist-letters-train", "emnist-letters-test"), tuple(range(1, 27))),
}
