"""Datasets of Hugging Face's library, from folders."""

from __future__ import annotations

from contextlib import nullcontext

import datasets
import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.text.hf_dataset import HfDataset
from tunesmith.errors import DataError

FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg", "none"])}
)


def part(*labels, prefix=""):
    texts = [f"{prefix} text {i}" for i in range(len(labels))]
    return datasets.Dataset.from_dict({"text": texts, "label": list(labels)}, features=FEATURES)


def load(folder, **options):
    return HfDataset(file=str(folder), split=Split(by="auto"), **options).load()


def test_splits_and_names_of_classes_are_the_datasets_own(tmp_path, caplog):
    splits = {"train": part(0, 1, 0), "validation": part(1), "test": part(-1, -1), "unsupervised": part(0)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    found = load(tmp_path / "saved")
    assert found.class_names == ("pos", "neg")  # in the dataset's order, which is not the alphabet's
    assert found.targets.tolist() == [0, 1, 0, 1]
    assert found.folders.tolist() == ["train", "train", "train", "val"]
    assert found.samples[1] == ("text 1",)
    assert [line.rpartition(": ")[2] for line in caplog.messages] == [
        "it has no labels.",
        "it is neither train, validation nor test.",
        "skipped.",
    ]


def test_one_that_is_not_split_is_split_here(tmp_path):
    part(0, 1, 2, 1).save_to_disk(tmp_path / "saved")
    found = load(tmp_path / "saved", classes=["none", "neg", "pos"])
    assert (found.folders, found.class_names, found.targets.tolist()) == (None, ("none", "neg", "pos"), [2, 1, 0, 1])


def test_a_folder_of_files_that_the_library_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for split in ("train", "test"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{split}.csv").write_text(f"text,label\n{split} one,a\n{split} two,b\n")
    found = load(tmp_path / "files")
    assert (found.class_names, found.folders.tolist()) == (("a", "b"), ["train", "train", "test", "test"])
    assert found.samples[2] == ("test one",)


def test_a_table_and_a_name_without_a_network_are_said_at_once(tmp_path, monkeypatch):
    (tmp_path / "texts.csv").write_text("text,label\n")
    with pytest.raises(
        DataError, match=r"^Expected a dataset in a folder, .*texts.csv is a table; use data=text_table.$"
    ):
        load(tmp_path / "texts.csv")
    asked = []
    monkeypatch.setattr("tunesmith.data.text.hf_dataset.quick_failure", lambda: asked.append(1) or nullcontext())
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "nothere")
    assert asked


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (lambda folder: None, {}, "Expected a dataset at .* but it cannot be read"),
        (lambda folder: part(0, 1).save_to_disk(folder), {"text": "body"}, "Expected a column 'body' in"),
        (lambda folder: part(-1, -1).save_to_disk(folder), {}, "Expected rows in a split train, validation or test"),
        (
            lambda folder: part(0, -1).save_to_disk(folder),
            {},
            "Expected a class in column 'label' of .* but row 2 has an empty cell",
        ),
    ],
)
def test_each_mistake_is_one_sentence(make, options, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    make(tmp_path / "saved")
    with pytest.raises(DataError, match=r"^Expected [^\n]*$") as caught:
        load(tmp_path / "saved", **options)
    assert caught.match(sentence)
