"""The HTML page needs nothing but itself."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

from tunesmith.compare.group import group
from tunesmith.compare.page import as_html
from tunesmith.compare.plot import draw_all
from tunesmith.compare.runs import find, read_all


def test_the_page_is_self_contained_and_escapes_what_it_shows(add, tmp_path):
    add(0.7, 0, ("x=<script>",)), add(0.8, 0, ("x=b&c",))
    add(status="failed", error={"type": "E", "message": "<b>"})
    found = group(read_all(find([str(tmp_path / "logs")])), None, None)
    text = as_html(found, draw_all(found))
    assert "<script" not in text and "&lt;script&gt;" in text and "b&amp;c" in text and "&lt;b&gt;" in text
    assert not re.search(r"(?:href|src)=\"?(?!\"?data:)", text)
    images = re.findall(r"src=\"data:image/png;base64,([^\"]+)\"", text)
    assert len(images) == 2  # cost, parallel coordinates
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in images)
    Balanced().feed(text)


class Balanced(HTMLParser):
    """Fails at an end tag that closes something else."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
