from types import SimpleNamespace

import pytest
from torchvision.datasets import OxfordIIITPet, StanfordCars

from tunesmith.compat import torchvision as ours


@pytest.mark.parametrize(
    ("owner", "name"),
    [(OxfordIIITPet, n) for n in ("_images", "_labels", "_bin_labels", "_target_types")] + [(StanfordCars, "_samples")],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_version_without_the_name_is_refused(refused, owner, name):
    refused(ours, "torchvision", owner, name)


def test_files_and_classes_are_listed():
    assert ours.samples(SimpleNamespace(_samples=[("a.png", 1)])) == [("a.png", 1)]
    assert ours.samples(SimpleNamespace()) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["category"], ([("a", 3), ("b", 4)], ["breeds"])),
        (["binary-category"], ([("a", 0), ("b", 1)], ["Cat", "Dog"])),
    ],
)
def test_pets_have_breeds_or_are_cats_and_dogs(asked, expected):
    pets = OxfordIIITPet.__new__(OxfordIIITPet)
    pets._images, pets._labels, pets._bin_labels = ["a", "b"], [3, 4], [0, 1]
    pets.classes, pets.bin_classes, pets._target_types = ["breeds"], ["Cat", "Dog"], asked
    assert ours.pets(pets) == expected
    assert ours.pets(SimpleNamespace(_images=["a"])) is None
