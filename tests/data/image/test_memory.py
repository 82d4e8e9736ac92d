import pytest
import torch

from tunesmith.data.image.decode import ImageError
from tunesmith.data.image.memory import Memory, available_bytes, cores, decode_all
from tunesmith.errors import DataError


def images():
    g = torch.Generator().manual_seed(0)
    sizes = [(3, 4, 5), (3, 7, 2), (3, 1, 1), (3, 4, 5)]
    return [torch.randint(0, 256, s, dtype=torch.uint8, generator=g) for s in sizes]


def test_images_of_any_size_come_back():
    given = images()
    memory = Memory(given)
    assert given == []
    assert all(torch.equal(memory[i], p) for i, p in enumerate(images()))


def test_decoding_keeps_the_order():
    assert [int(decode_all(lambda i: torch.full((1, 1, 1), i, dtype=torch.uint8), 30, "")[i]) for i in range(30)] == [
        *range(30)
    ]


def test_one_bad_image_is_raised_and_several_are_listed():
    def decode(position, bad):
        if position in bad:
            raise ImageError(f"image {position} is bad")
        return torch.zeros(1, 1, 1, dtype=torch.uint8)

    with pytest.raises(DataError, match=r"^image 3 is bad$"):
        decode_all(lambda i: decode(i, {3}), 5, "")
    with pytest.raises(DataError, match=r"Expected 50 readable images but 12 of them are not") as caught:
        decode_all(lambda i: decode(i, set(range(12))), 50, "")
    assert len(str(caught.value).splitlines()) == 11


def test_the_machine_has_cores_and_memory():
    assert cores() >= 1
    assert 2**20 < available_bytes() < 2**50


def test_a_containers_limit_counts(monkeypatch):
    monkeypatch.setattr("tunesmith.data.image.memory._candidates", lambda: iter([100, 30]))
    assert available_bytes() == 30
