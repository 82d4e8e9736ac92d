"""Whatever is typed or lies in a table: a sentence or a value, never a traceback."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith import __main__ as program
from tunesmith.data.image.image_table import ImageTable
from tunesmith.data.split.split import Split
from tunesmith.errors import TunesmithError

KEYS = st.sampled_from(
    [
        "seed",
        "optimizer.lr",
        "policy",
        "data",
        "callback",
        "trainer.max_epochs",
        "policy.phases",
        "x",
        "hydra.run.dir",
        "_target_",
    ]
)
MARKS = st.text(st.sampled_from("[]{}()'\"\\,:=~+@/$.*&! \t01aé-_%#<>|?\u2028"), max_size=12)
VALUES = st.one_of(MARKS, st.text(max_size=8), st.integers().map(str), st.floats().map(str), st.just("${seed}"))
OVERRIDES = st.builds(
    lambda sign, key, equals, value: f"{sign}{key}{equals}{value}",
    st.sampled_from(["", "+", "++", "~"]),
    KEYS,
    st.sampled_from(["=", "", "=="]),
    VALUES,
)
CELLS = st.one_of(st.text(max_size=6), st.sampled_from(["", "a", "b", "0.png", "nan", "1e999", "train", '"', "\x00"]))


def quick(cases):
    return settings(
        max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )


def check_overrides(words):
    with contextlib.suppress(TunesmithError):
        program.command_line(["train", "--cfg", "job", *words])


def check_table(folder, rows, header):
    text = "\n".join([",".join(header), *(",".join(row) for row in rows)])
    (folder / "table.csv").write_text(text, encoding="utf-8", errors="surrogatepass")
    data = ImageTable(file=str(folder / "table.csv"), split=Split(val=0.1, test=0.1))
    with contextlib.suppress(TunesmithError):
        data.setup("fit")


@quick(15)
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_overrides(words):
    check_overrides(words)


@pytest.mark.long
@quick(300)
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_many_overrides(words):
    check_overrides(words)


ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6)
HEADERS = st.lists(st.sampled_from(["path", "label", "split", "weight", "x", ""]), min_size=1, max_size=4)


@quick(100)
@given(ROWS, HEADERS)
def test_tables(tmp_path_factory, rows, header):
    check_table(tmp_path_factory.getbasetemp(), rows, header)


@pytest.mark.long
@quick(1700)
@given(ROWS, HEADERS)
def test_many_tables(tmp_path_factory, rows, header):
    check_table(tmp_path_factory.getbasetemp(), rows, header)
