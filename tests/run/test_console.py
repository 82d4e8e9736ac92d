"""What is printed cannot command a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.table import Table

from tunesmith.errors import DataError, say, visible
from tunesmith.run.console import VisibleConsole

TITLE = "\x1b]0;owned\x07"
CLIPBOARD = "\x1b]52;c;b3duZWQ=\x07"


def printed(*renderables):
    console = VisibleConsole(file=io.StringIO(), force_terminal=True, width=100)
    console.print(*renderables, style="bold")
    return console.file.getvalue()


def test_styles_stay_and_what_texts_hold_is_shown():
    table = Table(f"class {TITLE}")
    table.add_row(CLIPBOARD)
    for said in (printed(f"a {TITLE}{CLIPBOARD}"), printed(table)):
        assert "\x1b[1m" in said
        rest = re.sub(r"\x1b\[[0-9;]*m", "", said)
        assert not {"\x1b", "\x07"} & set(rest) and "␛]0;own" in rest and "␛]52;c;" in rest


@pytest.mark.parametrize(
    ("text", "shown"), [("a\x1b[2Jb", "a␛[2Jb"), ("\r", "␍"), ("\x9b1m", "\ufffd1m"), ("é\t\n", "é\t\n")]
)
def test_control_characters_become_visible(text, shown):
    assert visible(text) == shown


def test_so_do_those_of_an_error(capsys):
    say(DataError(f"Expected a class but got '{TITLE}'."))
    assert capsys.readouterr().err == "tunesmith: Expected a class but got '␛]0;owned␇'.\n"
