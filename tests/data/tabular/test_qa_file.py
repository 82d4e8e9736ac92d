from __future__ import annotations

import json

import pytest

from tunesmith.data.tabular.qa_file import Question, read_questions
from tunesmith.data.tabular.reading import MAX_CHARACTERS
from tunesmith.errors import DataError

CONTEXT = "Anna lives in Köln. Köln is old."
ASKED = {"id": "q1", "question": "Where?", "answers": [{"text": "Köln", "answer_start": 14}]}
LINE = {"question": "Where?", "context": CONTEXT, "answers": {"text": ["Köln"], "answer_start": [14]}}


@pytest.fixture
def read(tmp_path):
    def make(content, name="q.json"):
        file = tmp_path / name
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_questions(file)

    return make


def squad(*asked, context=CONTEXT):
    return {"version": "v2.0", "data": [{"title": "Towns", "paragraphs": [{"context": context, "qas": list(asked)}]}]}


def test_both_versions_of_squad(read):
    none = {"id": "q2", "question": "When?", "is_impossible": True, "answers": [], "plausible_answers": [{"text": "x"}]}
    one, two = read(squad(ASKED, none))
    assert one == Question("q1", "Towns", CONTEXT, "Where?", (("Köln", 14),))
    assert two.answers == ()
    assert read(squad({"id": 3, "question": "Why?"}))[0].name == "3"  # to be predicted


def test_a_question_a_line(read):
    rows = [LINE, LINE | {"id": "x", "title": "T", "split": "dev", "answers": {"text": [], "answer_start": []}}]
    one, two = read("\n".join(map(json.dumps, rows)), "q.jsonl")
    assert (one.name, one.answers, one.title) == ("line 1", (("Köln", 14),), None)
    assert (two.name, two.answers, two.title, two.split) == ("x", (), "T", "dev")


def answered(text, begin):
    return squad(ASKED | {"answers": [{"text": text, "answer_start": begin}]})


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (answered("Köln", 30), "q.json", r"the answer 'Köln' to question q1 .* within its text of 32 .* begin at 30"),
        (answered("Köln", -1), "q.json", r"within its text .* begin at -1"),
        (
            answered("Köln", 13),
            "q.json",
            r"the answer 'Köln' to question q1 of .* at character 13 .* but ' Köl' stands",
        ),
        (squad(ASKED | {"question": " "}), "q.json", r"a question in question q1 of \S+ but it is empty"),
        (squad(ASKED, context=""), "q.json", r"a text in question q1 of \S+ but it is empty"),
        (
            squad(ASKED, context="x" * 10_000_000),
            "q.json",
            r"at most 1,000,000 .* question q1 .* 10,000,000",
        ),
        (squad({"id": "q1"}), "q.json", r"'question' in question q1 of \S+, as in SQuAD's files"),
        (squad({"question": "Where?"}), "q.json", r"'id' in question None of"),
        ({"rows": []}, "q.json", r"'data' in \S+, as in SQuAD's files, but got none"),
        ({"data": []}, "q.json", r"at least one question in \S+ but got none"),
        ("{", "q.json", r"JSON in \S+ but it cannot be read"),
        (b'{"data": "\xff"}', "q.json", r"text in UTF-8 but line 1 is not"),
        ({"context": "a"}, "q.jsonl", r"'question' in line 1 of"),
        (
            LINE | {"answers": {"text": ["Köln"], "answer_start": []}},
            "q.jsonl",
            r"each of 1 answers .* got 0",
        ),
        (LINE | {"answers": ["Köln"]}, "q.jsonl", r"'text' in the answers in line 1"),
        ("no json", "q.jsonl", r"JSON in line 1 of \S+ but it cannot be read"),
        ("a,b", "q.csv", r"a .json or .jsonl file of questions but got \S+q.csv"),
    ],
)
def test_each_mistake_is_one_sentence_with_the_question(read, content, name, sentence):
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        read(content, name)
    assert MAX_CHARACTERS == 1_000_000
