"""What is wrong with data is found, nothing else is, and no file of the user's is touched."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tunesmith.check.check import check
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, DataError, RunError


def scene(rng: np.random.Generator, size: int = 96) -> np.ndarray:
    """An image like no other: some rectangles of random colours, and noise."""
    pixels = np.full((size, size, 3), rng.integers(0, 256, 3), np.float64)
    for _ in range(12):
        top, left = rng.integers(0, size - 8, 2)
        pixels[top : top + rng.integers(size // 8, size // 2), left : left + rng.integers(size // 8, size // 2)] = (
            rng.integers(0, 256, 3)
        )
    return (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bad(kind: str, image: Image.Image) -> tuple[str, bytes]:
    """Suffix and content of a file of one kind of the trouble that files make."""
    png, jpeg = encoded(image, "PNG"), encoded(image, "JPEG", quality=95)
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    bomb = encoded(Image.new("1", (10_000, 10_000)), "PNG")
    return {
        "empty": (".jpg", b""),
        "text": (".png", b"this is no image\n" * 20),
        "other format": (".png", b"%PDF-1.7" + png[8:]),
        "truncated jpeg": (".jpg", jpeg[: len(jpeg) // 2]),
        "truncated png": (".png", png[: len(png) // 2]),
        "flipped": (".png", png[:60] + bytes([png[60] ^ 255]) + png[61:]),
        "huge": (".png", bomb),
        "wrong suffix": (".jpg", png),
        "animated": (".gif", encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)])),
        "cmyk": (".jpg", encoded(image.convert("CMYK"), "JPEG")),
        "16 bit": (".png", encoded(grey16, "PNG")),
        "blank": (".png", encoded(Image.new("RGB", image.size, "white"), "PNG")),
    }[kind]


FOUND = {
    "empty": "unreadable",
    "text": "unreadable",
    "other format": "unreadable",
    "truncated jpeg": "truncated",
    "truncated png": "truncated",
    "flipped": "unreadable",
    "huge": "huge",
    "wrong suffix": "wrong suffix",
    "animated": "animated",
    "cmyk": "CMYK",
    "16 bit": "16 bit",
    "blank": "blank",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """1,000 images in train and test, 20 of which are of 12 kinds of trouble, with 10 exact and 10 near copies."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    originals = []
    for number in range(960):
        split, label = ("train", "test")[number % 5 == 4], ("cat", "dog")[number % 2]
        path = root / split / label / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(scene(rng))
        image.save(path)
        if split == "train" and len(originals) < 20:
            originals.append(path)
    expected = {}
    for number in range(20):
        kind = list(FOUND)[number % 12]
        suffix, content = bad(kind, Image.fromarray(scene(rng)))
        path = root / "train" / "cat" / f"bad_{number}{suffix}"
        path.write_bytes(content)
        expected[f"train/cat/{path.name}"] = FOUND[kind]
    pairs = []
    for number, path in enumerate(originals):
        if number < 10:
            copy = root / "test" / path.parent.name / f"exact_{number}.png"
            copy.write_bytes(path.read_bytes())
        else:
            copy = root / "test" / path.parent.name / f"near_{number}.jpg"
            with Image.open(path) as image:
                image.resize((96, 96) if number % 2 else (80, 80)).save(copy, quality=70)
        pairs.append({p.relative_to(root).as_posix() for p in (path, copy)})
    return root, expected, pairs


def digests(root: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def looked_at(root: Path, output: Path, *words: str):
    return check(compose("check", ["data=image_folder", f"data.root={root}", f"output={output}", *words]))


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory):
    root, before = folder[0], digests(folder[0])
    output = tmp_path_factory.mktemp("output")
    found = looked_at(root, output)
    assert digests(root) == before  # the user's files are as they were
    return found, output


def rows(report, kind):
    return [item.rows for finding in report.findings if finding.kind == kind for item in finding.items]


def test_exactly_the_bad_files_are_listed_with_the_reason(folder, report):
    _, expected, _ = folder
    kinds = set(expected.values())
    # A palette is what makes a GIF, and 16 bits are grey here: both are said besides.
    found = {
        (str(report[0].table.names[row]), finding.kind)
        for finding in report[0].findings
        if finding.kind in kinds
        for item in finding.items
        for row in item.rows
    }
    assert found == set(expected.items())
    assert all(item.detail for finding in report[0].findings for item in finding.items)


def test_all_copies_are_found_and_nothing_else_is_taken_for_one(folder, report):
    names = report[0].table.names
    pairs = folder[2]
    named = {
        kind: [{str(names[row]) for row in item} for item in rows(report[0], f"{kind} across splits")]
        for kind in ("copies", "near copies")
    }
    assert sorted(map(sorted, named["copies"])) == sorted(map(sorted, pairs[:10]))
    assert all(pair in pairs[10:] for pair in named["near copies"]) and len(named["near copies"]) >= 9
    # Of the bad ones some are alike: two that are empty are copies of each other.
    assert not rows(report[0], "near copies in one split")


def test_the_report_shows_the_images_and_escapes_names(report):
    page = (report[1] / "check.html").read_text()
    assert page.count("data:image/jpeg;base64,") > 40 and "<script" not in page
    text = (report[1] / "check.md").read_text()
    assert "## Copies across splits: 10 (warning)" in text and "bad_19" in text


def table_of(folder, count=24, **columns):
    """A small table of images."""
    rng = np.random.default_rng(1)
    for i in range(count):
        Image.fromarray(scene(rng, 16)).save(folder / f"{i}.png")
    named = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(count)], "label": [("a", "b")[i % 2] for i in range(count)]}
    )
    named.assign(**columns).to_csv(folder / "table.csv", index=False)
    return ["data=image_table", f"data.file={folder / 'table.csv'}", f"output={folder / 'out'}"]


def kinds(report):
    return [finding.kind for finding in report.findings]


def test_sound_data_come_out_clean(tmp_path, capsys):
    report = check(compose("check", table_of(tmp_path)))
    assert report.findings == () and "Nothing was found" in capsys.readouterr().out


def test_labels_that_contradict_each_other_are_errors_and_come_first(tmp_path, caplog):
    words = table_of(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    with caplog.at_level("WARNING"):
        report = check(compose("check", words))
    assert "1 images have the content of another and a different label" in caplog.text  # as before training
    assert kinds(report)[0] == "contradictory labels"
    assert report.findings[0].items[0].detail == "a against b"


def test_groups_in_two_splits_and_rare_classes_are_found(tmp_path):
    words = [*table_of(tmp_path, group=[i // 4 for i in range(24)], label=[*"aaa", *"b" * 21])]
    words.append("data.split.by=stratified")
    report = check(compose("check", words))
    assert {"groups in two splits", "rare classes"} <= set(kinds(report))


def test_too_many_copies_are_a_failure_and_the_report_is_there(tmp_path):
    words = table_of(tmp_path)
    (tmp_path / "2.png").write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"at most 0 copies .* but found 1"):
        check(compose("check", [*words, "max_duplicates=0"]))
    assert (tmp_path / "out" / "check.html").is_file()
    check(compose("check", [*words, "max_duplicates=1"]))


def recorded(folder: Path, names, wrong: int) -> Path:
    """A run whose predictions are sure of every label but one."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({}))
    a = np.array([0.95 if i % 2 == 0 else 0.05 for i in range(len(names))])
    a[wrong] = 1 - a[wrong]
    pd.DataFrame({"file": names, "p_a": a, "p_b": 1 - a}).to_parquet(folder / "predictions.parquet")
    return folder


def test_labels_that_predictions_speak_against_are_named(tmp_path):
    words = table_of(tmp_path)
    recorded(tmp_path / "logs" / "fold0", [f"{i}.png" for i in range(12)], wrong=4)
    recorded(tmp_path / "logs" / "fold1", [f"{i}.png" for i in range(12, 24)], wrong=0)
    report = check(compose("check", [*words, f"predictions={tmp_path / 'logs'}"]))
    (finding,) = [f for f in report.findings if f.kind == "suspected labels"]
    assert {report.named(item) for item in finding.items} == {"4.png", "12.png"}
    assert "labelled a (5%), looks like b (95%)" in {item.detail for item in finding.items}


@pytest.mark.parametrize(
    ("words", "error", "sentence"),
    [
        (["predictions=nowhere"], RunError, "nowhere"),
        (["output=/dev/null/x"], RunError, "Expected to write"),
        (["max_duplicate=1"], ConfigError, "max_duplicates"),
        (["near=perhaps"], ConfigError, "near"),
        (["data=digit"], ConfigError, "digits"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, words, error, sentence):
    from tunesmith.config.check.check import check as examine

    with pytest.raises(error, match=sentence):
        cfg = compose("check", [*table_of(tmp_path), *words])
        examine(cfg, "check")
        check(cfg)


def test_predictions_of_other_images_are_refused(tmp_path):
    words = table_of(tmp_path)
    run = recorded(tmp_path / "run", ["x.png", "1.png"], wrong=0)
    with pytest.raises(DataError, match=r"1 of others, such as x\.png"):
        check(compose("check", [*words, f"predictions={run}"]))
