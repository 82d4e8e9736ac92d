import json

from tunesmith.data.tabular.token_file import Keys, Sentence, read_sentences

COLUMNS = """a O

-DOCSTART- -X- O

b\tNN\tB-X
c\tNN\tI-X

"""


def test_sentences_say_where_they_begin(tmp_path):
    file = tmp_path / "t.txt"
    file.write_text(COLUMNS.replace("a O", "a NN O"))
    one, two = read_sentences(file, Keys())
    assert one == Sentence(1, ("a",), ("O",))
    assert two == Sentence(5, ("b", "c"), ("B-X", "I-X"), "1")


def test_keys_of_json_lines(tmp_path):
    file = tmp_path / "t.jsonl"
    rows = [{"w": ["a"], "t": ["O"], "d": 3, "s": "dev"}, {"w": [" b "], "t": [1]}]
    file.write_text("\n\n".join(map(json.dumps, rows)))
    one, two = read_sentences(file, Keys("w", "t", "d", "s"))
    assert one == Sentence(1, ("a",), ("O",), "3", "dev")
    assert two == Sentence(3, ("b",), ("1",))
    assert read_sentences(file, Keys("w", "t", None, None))[0].document is None
