import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.data.image.solar_cells import SolarCells, blocks
from tunesmith.data.split.split import Split
from tunesmith.errors import DataError, MissingExtraError
from tunesmith.modality.image import ImagePreprocess


def test_the_real_set_splits_as_the_published_numbers_do():
    data = SolarCells(split=Split(by="stratified", val=0, test=0.25))
    data.setup("fit")
    assert data.counts() == {
        "train": {"functional": 1352, "defective": 616},
        "test": {"functional": 451, "defective": 205},
    }
    assert data.spec.channels == 1
    assert data.spec.class_names == ("functional", "defective")
    assert data.duplicates == []
    data.connect(ImagePreprocess(size=32))
    data.in_memory = False
    batch = next(iter(data.test_dataloader()))
    assert batch["input"].shape == (32, 1, 32, 32)
    assert batch["input"].float().std() > 20
    assert data.table.names[int(batch["index"][0])].startswith("images/cell")


def test_the_real_set_in_four_classes():
    counts = np.bincount(SolarCells(split=Split(), classes="four").load().targets)
    assert counts.tolist() == [1508, 295, 106, 715]


def test_the_real_set_with_the_probability_as_a_value():
    data = SolarCells(split=Split(val=0), classes="probability")
    data.setup()
    assert (data.spec.target, data.spec.class_names) == ("value", ("defect_probability",))
    assert np.unique(data.table.targets).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert data.spec.target_mean == pytest.approx((0.338,), abs=0.002)
    parts = [data.table.targets[rows].mean() for rows in data.indices.values()]
    assert parts[0] == pytest.approx(parts[1], abs=0.002)  # stratified by the four levels


def test_the_real_set_in_an_order():
    four, ordinal = (SolarCells(split=Split(), classes=c).load() for c in ("four", "ordinal"))
    assert (ordinal.kind, ordinal.class_names) == ("ordinal", four.class_names)
    assert np.array_equal(ordinal.targets, four.targets)


def test_the_real_set_has_as_many_blocks_as_modules():
    table = SolarCells(split=Split()).load()
    sizes = np.bincount(table.groups)
    assert (len(table), len(sizes)) == (2624, 44)
    assert (sizes.min(), sizes.max()) == (48, 72)
    parts = Split(by="group")(table)
    owners = [set(table.groups[rows]) for rows in parts.values()]
    assert sum(map(len, owners)) == 44
    assert len(parts["test"]) == pytest.approx(656, abs=30)
    assert len(parts["val"]) == pytest.approx(262, abs=30)


def test_blocks_end_with_the_type_and_short_rests_join():
    kind = np.array(["mono"] * 12 + ["poly"] * 3 + ["mono"] * 14)
    assert blocks(kind, 5).tolist() == [0] * 5 + [1] * 7 + [2] * 3 + [3] * 5 + [4] * 5 + [5] * 4


def lay(root, lines, size=20):
    (root / "images").mkdir(parents=True)
    for i in range(len(lines)):
        Image.fromarray(np.full((size, size), 10 * i, np.uint8)).save(root / "images" / f"cell{i:04d}.png")
    (root / "labels.csv").write_text("".join(f"images/cell{i:04d}.png  {line}\n" for i, line in enumerate(lines)))
    return root


def test_a_folder_of_the_same_layout(tmp_path):
    lines = ["0.0 mono", "0.3333333333333333 mono", "0.6666666666666666 poly", "1.0 poly"] * 5
    data = SolarCells(root=str(lay(tmp_path, lines)), split=Split(), augment="rotations")
    data.connect(ImagePreprocess(size=8))
    data.setup()
    assert data.table.targets.tolist() == [0, 0, 1, 1] * 5
    assert data.table.names[3] == "images/cell0003.png"
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch["input"][:, 0, 0, 0].long(), batch["index"] * 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images/a.png 0.0\n", "Expected lines of path, probability and type"),
        ("images/a.png high mono\n", "Expected lines of path, probability and type"),
        ("images/a.png 0.5 mono\n", "Expected probabilities 0, 1/3, 2/3 or 1"),
        ("images/a.png 2.0 mono\n", "Expected probabilities"),
        ("", "Expected probabilities"),
    ],
)
def test_labels_of_another_format(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        SolarCells(root=str(tmp_path), split=Split()).load()


def test_no_labels_and_no_package(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"Expected labels at .*; set data.root"):
        SolarCells(root=str(tmp_path), split=Split()).load()
    monkeypatch.setattr("tunesmith.data.image.solar_cells.find_spec", lambda name: None)
    assert importlib.util.find_spec("elpv_dataset")
    with pytest.raises(MissingExtraError, match=r"elpv-dataset.*tunesmith\[demo\]"):
        SolarCells(split=Split()).load()
    with pytest.raises(DataError, match="group_block"):
        SolarCells(split=Split(), group_block=0)
