"""Tables of keys, as HTML: a cell may hold any character, a pipe included."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import yaml

from tunesmith.config.check import annotation
from tunesmith.config.check.signature import Parameter


class Row(NamedTuple):
    """One key.

    Attributes:
        key: Dotted path, as it is typed on the command line.
        default: Its value where nobody gives another, as YAML; ``None`` where it must be given.
        type: What it may hold, in words.
        text: What it means.
    """

    key: str
    default: str | None
    type: str
    text: str


def table(rows: Iterable[Row]) -> str:
    """Write rows as a block of HTML that Markdown leaves alone."""
    head = "<tr><th>Key</th><th>Default</th><th>Values</th><th>Meaning</th></tr>"
    body = "\n".join(_row(row) for row in rows)
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n" if body else ""


def _row(row: Row) -> str:
    default = "<em>required</em>" if row.default is None else code(row.default)
    return f"<tr><td>{code(row.key)}</td><td>{default}</td><td>{prose(row.type)}</td><td>{prose(row.text)}</td></tr>"


def code(text: str) -> str:
    """Text as code, in HTML that Markdown leaves alone, be it in a paragraph."""
    return f"<code>{''.join(c if c.isalnum() or c in ' .,=/:' else f'&#{ord(c)};' for c in text)}</code>"


def prose(text: str) -> str:
    """A docstring's text in HTML: what stands in backquotes is code."""
    parts = re.split(r"(``[^`]+``|`[^`]+`)", text)
    return "".join(code(_as_yaml(p.strip("`"))) if p.startswith("`") else html.escape(p) for p in parts)


def _as_yaml(text: str) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(text, text)


def markdown(text: str) -> str:
    """A docstring's or a comment's text in Markdown: what stands in backquotes is code, all else means itself."""
    parts = re.split(r"(``[^`]+``|`[^`]+`|\*\*\w+\.\*\*)", text)
    return "".join(p if i % 2 else re.sub(r"([*_<\[\]{}])", r"\\\1", p) for i, p in enumerate(parts))


def shown(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    text = text.strip().removesuffix("...").strip()
    return value if isinstance(value, str) and value and text.strip("'\"") == value else text


def default_of(parameter: Parameter) -> str | None:
    """The default in a signature, as YAML; ``None`` where there is none."""
    if parameter.required or parameter.default is None:
        return None if parameter.required else ""
    node: ast.expr = parameter.default
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "field":
        given = {k.arg: k.value for k in node.keywords}
        node = given.get("default") or given.get("default_factory") or node
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
    return shown(list(value) if isinstance(value, tuple) else value)


def type_of(parameter: Parameter | None) -> str:
    """What a parameter may hold, in words; empty where its annotation does not say."""
    if parameter is None or parameter.annotation is None:
        return ""
    text = annotation.describe(parameter.annotation, parameter.module)
    return " or ".join(map(_kind, text.split(" or ")))


def _kind(part: str) -> str:
    """One kind of value: words and the names of types are code."""
    if part.startswith("one of "):
        words = [word.strip("'") for word in part.removeprefix("one of ").split(", ")]
        return ", ".join(f"``{word}``" for word in dict.fromkeys(words))
    return f"``{part}``" if " " not in part or "[" in part else part


def names(values: Sequence[tuple[str, str | None]]) -> str:
    """A list of arguments with their defaults, on one line."""
    return ", ".join(code(f"{name}={default}" if default else name) for name, default in values)
