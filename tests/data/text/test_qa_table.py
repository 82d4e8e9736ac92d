import json

from tunesmith.data.split.split import Split
from tunesmith.data.text.qa_table import QaTable


def article(title, count, impossible=False):
    asked = [
        {
            "id": f"{title}{i}",
            "question": "Which?",
            "answers": [] if impossible else [{"text": "film", "answer_start": 4}],
        }
        for i in range(count)
    ]
    return {"title": title, "paragraphs": [{"context": "the film is good", "qas": asked}]}


def test_titles_are_kept_together(tmp_path):
    (tmp_path / "q.json").write_text(json.dumps({"data": [article("a", 2), article("b", 1, impossible=True)]}))
    table = QaTable(file=str(tmp_path / "q.json"), split=Split(by="auto")).load()
    assert table.samples == [("Which?", "the film is good")] * 3
    assert table.targets == [(("film", 4),)] * 2 + [()]
    assert (table.class_names, table.kind, table.names.tolist()) == (
        ("answer", "no answer"),
        "span",
        ["a0", "a1", "b0"],
    )
    assert (table.groups.tolist(), table.group_unit) == ([0, 0, 1], "title")
    assert QaTable(file=str(tmp_path / "q.json"), titles=False, split=Split()).load().groups is None


def test_a_folder_of_splits(tmp_path):
    for name, title in (("train-v1.1.json", "a"), ("dev-v1.1.json", "b")):
        (tmp_path / name).write_text(json.dumps({"data": [article(title, 1)]}))
    table = QaTable(file=str(tmp_path), split=Split(by="auto")).load()
    assert table.folders.tolist() == ["val", "train"] and table.class_names == ("answer",)
