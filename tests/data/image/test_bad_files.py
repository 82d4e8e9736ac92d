import hashlib
import logging

import numpy as np
import pytest
from PIL import Image

from tunesmith.data.image.bad_files import leave_out
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.image_folder import ImageFolder
from tunesmith.data.split.split import Split
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess


def digests(root):
    return {p: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in root.rglob("*.*")}


@pytest.fixture
def folder(tmp_path):
    """Two classes of 12 images, of which two are broken."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(12):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / label / f"{i:02d}.jpg")
    cut = tmp_path / "cat" / "03.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "dog" / "07.jpg").write_bytes(b"no image")
    return tmp_path


def data(folder, **options):
    module = ImageFolder(root=str(folder), split=Split(val=0.2), **options)
    module.connect(ImagePreprocess(size=8))
    module.setup()
    return module


def test_bad_files_are_left_out_and_listed(folder, caplog):
    before = digests(folder)
    with caplog.at_level(logging.WARNING):
        module = data(folder, on_bad_file="skip")
    assert [name for name, _ in module.bad_files] == ["cat/03.jpg", "dog/07.jpg"]
    assert "truncated" in module.bad_files[0][1]
    assert module.bad_files[1][1].startswith("none of the formats")
    assert "Left out 2 of 24 images" in caplog.text
    assert sum(sum(n.values()) for n in module.counts().values()) == len(module.table) == 22
    for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
        for batch in loader:
            names = module.table.names[batch["index"].numpy()]
            assert [("cat", "dog").index(n.partition("/")[0]) for n in names] == batch["target"].tolist()
    assert digests(folder) == before


def test_a_later_evaluation_has_the_same_rows(folder):
    one, other = (data(folder, on_bad_file="skip") for _ in range(2))
    assert one.spec == other.spec
    assert all(np.array_equal(one.indices[s], other.indices[s]) for s in one.indices)
    for name, _ in one.bad_files:
        (folder / name).unlink()
    without = data(folder)
    assert without.spec.fingerprint == one.spec.fingerprint
    assert without.table.names.tolist() == one.table.names.tolist()


def test_by_default_a_bad_file_is_an_error(folder):
    module = data(folder, in_memory=True)
    assert module.bad_files == []
    with pytest.raises(DataError, match=r"readable image"):
        [module.train_dataloader(), module.val_dataloader(), module.test_dataloader()]


def test_none_that_can_be_read(folder):
    for file in folder.rglob("*.jpg"):
        file.write_bytes(b"x")
    with pytest.raises(DataError, match=r"images that can be read but none can, first cat/00.jpg: none of the formats"):
        data(folder, on_bad_file="skip")


def test_pixels_need_no_check():
    table = Table(np.zeros((4, 2, 2), np.uint8), np.array([0, 1, 0, 1]), ("a", "b"), np.array(list("wxyz")), 1)
    assert leave_out(table, Decode(8, 1)) == (table, [])
