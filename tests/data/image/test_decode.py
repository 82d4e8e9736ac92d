import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.data.image.decode import Decode, ImageError
from tunesmith.errors import DataError

RED = (254, 0, 0)


def save(path, image, **options):
    image.save(path, **options)
    return path


def centre(path, channels=3):
    """The middle pixel of an image of one colour."""
    pixels = Decode(8, channels)(path)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (channels, 8, 8)
    return pixels[:, 4, 4].tolist()


def gradient(width, height):
    """Red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "gif", "ppm", "jpg"])
def test_formats(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", Image.new("RGB", (20, 10), RED))
    assert centre(path) == pytest.approx(RED, abs=3)
    assert centre(path, 1) == pytest.approx([76], abs=2)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 100, [100] * 3),
        ("1", 1, [255] * 3),
        ("RGBA", (*RED, 255), list(RED)),
        ("RGBA", (*RED, 0), [255] * 3),
        ("LA", (10, 0), [255] * 3),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_modes(tmp_path, mode, colour, expected):
    image = Image.new(mode, (10, 10), colour)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    assert centre(save(tmp_path / "a.png", image)) == expected


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (10, 10), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    assert centre(save(tmp_path / "a.png", image)) == [0, 0, 255]
    assert centre(save(tmp_path / "b.png", image, transparency=1)) == [255] * 3


def test_cmyk(tmp_path):
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    assert centre(path) == pytest.approx([255, 0, 0], abs=6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_scaled_and_not_clipped(tmp_path, suffix):
    for value, expected in ((65535, 255), (32896, 128), (300, 1), (0, 0)):
        image = Image.fromarray(np.full((10, 10), value, np.uint16))
        assert centre(save(tmp_path / f"{value}.{suffix}", image)) == [expected] * 3
        assert centre(tmp_path / f"{value}.{suffix}", 1) == [expected]


def test_32_bit_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", Image.fromarray(np.zeros((4, 4), np.float32)))
    with pytest.raises(DataError, match=r"a\.tif: expected 8 or 16 bits"):
        Decode(8, 1)(path)


def test_16_bit_pgm_is_scaled_and_not_clipped(tmp_path):
    # Pillow reads it as 32 bits.
    for value, expected in ((65535, 255), (32896, 128), (0, 0)):
        path = tmp_path / f"{value}.pgm"
        path.write_bytes(b"P5 10 10 65535 " + np.full((10, 10), value, ">u2").tobytes())
        assert centre(path) == [expected] * 3


def test_16_bit_colour(tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 10 10 65535 " + np.full((10, 10, 3), (65535, 32896, 0), ">u2").tobytes())
    assert centre(path) == pytest.approx([255, 128, 0], abs=1)
    rows = b"".join(b"\0" + np.full((10, 3), (65535, 32896, 0), ">u2").tobytes() for _ in range(10))
    assert centre(png(tmp_path / "a.png", 10, 16, zlib.compress(rows))) == pytest.approx([255, 128, 0], abs=1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    # The tag says how the camera was held: each value has its way back.
    way = Image.Transpose
    stored = [None, None, way.FLIP_LEFT_RIGHT, way.ROTATE_180, way.FLIP_TOP_BOTTOM, way.TRANSPOSE, way.ROTATE_90,
              way.TRANSVERSE, way.ROTATE_270][orientation]  # fmt: skip
    upright = gradient(64, 64)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    path = save(tmp_path / f"a.{suffix}", upright.transpose(stored) if stored is not None else upright, exif=exif)
    expected = Decode(16, 3)(save(tmp_path / f"b.{suffix}", upright, **options)).float()
    assert (Decode(16, 3)(path).float() - expected).abs().mean() < 2
    if stored is not None:
        sideways = save(tmp_path / f"c.{suffix}", upright.transpose(stored))
        assert (Decode(16, 3)(sideways).float() - expected).abs().mean() > 20


def test_a_phones_several_images_in_one_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (20, 10), RED).save(
        path, format="MPO", save_all=True, append_images=[Image.new("RGB", (20, 10), (0, 0, 254))]
    )
    assert centre(path) == pytest.approx(RED, abs=3)


def test_colours_under_half_transparent_pixels_are_seen_on_white(tmp_path):
    path = save(tmp_path / "a.png", Image.new("RGBA", (10, 10), (255, 0, 0, 128)))
    assert centre(path) == pytest.approx([255, 127, 127], abs=1)


def test_cmyk_tiff(tmp_path):
    path = save(tmp_path / "a.tif", Image.new("CMYK", (16, 16), (0, 255, 255, 0)))
    assert centre(path) == pytest.approx([255, 0, 0], abs=6)


def test_the_file_is_not_touched(tmp_path):
    path = save(tmp_path / "a.jpg", gradient(64, 48))
    before = path.read_bytes(), path.stat().st_mtime_ns
    Decode(16, 3)(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_the_centre_square_comes_out(tmp_path):
    wide = Decode(32, 3)(save(tmp_path / "a.png", gradient(96, 32)))
    assert wide.shape == (3, 32, 32)
    assert wide[0].min() > 75  # a third of the red is cut off at either side
    assert wide[0].max() < 180
    assert wide[1].min() < 10


def test_a_margin_keeps_the_aspect_up_to_two_to_one():
    decoder = Decode(28, 3, margin=True)
    sizes = {(30, 30): (32, 32), (30, 45): (32, 48), (45, 30): (48, 32), (10, 1000): (32, 64), (1000, 10): (64, 32)}
    for (height, width), expected in sizes.items():
        image = decoder(np.zeros((height, width, 3), np.uint8))
        assert image.shape == (3, *expected)
        assert image.numel() <= decoder.max_bytes


def test_pixels_of_the_size_come_out_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    assert np.array_equal(Decode(16, 1, "bicubic")(pixels)[0], pixels)


def test_a_large_jpeg_looks_as_it_would_without_the_short_cut(tmp_path):
    image = gradient(1600, 1200)
    fast = Decode(32, 3)(save(tmp_path / "a.jpg", image, quality=95)).float()
    exact = Decode(32, 3)(save(tmp_path / "a.png", image)).float()
    assert (fast - exact).abs().mean() < 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.png", b"no image at all", "none of the formats"),
        ("empty.jpg", b"", "none of the formats"),
        ("missing.png", None, "there is no such file"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"Expected a readable image but got .*{name}: {reason}"):
        Decode(8, 3)(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    save(path, Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        Decode(8, 3)(path)


def test_other_formats_are_not_even_tried(tmp_path):
    path = save(tmp_path / "a.ico", Image.new("RGB", (16, 16)))
    with pytest.raises(DataError, match="none of the formats"):
        Decode(8, 3)(path.rename(tmp_path / "a.png"))


def png(path: Path, side: int, bits: int = 8, body: bytes = b"") -> Path:
    """A colour PNG, put together by hand."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, bits, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
    with pytest.raises(DataError, match=r"bomb\.png.*pixels"):
        Decode(8, 3)(png(tmp_path / "bomb.png", side))


def test_an_error_survives_a_workers_traceback():
    try:
        Decode(8, 3)(Path("nowhere.png"))
    except ImageError as err:
        from torch._utils import ExceptionWrapper

        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
        with pytest.raises(ImageError) as caught:
            wrapped.reraise()
        assert str(caught.value) == str(err) == "Expected a readable image but got nowhere.png: there is no such file."
