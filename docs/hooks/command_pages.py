"""A page a command: its keys, the groups it composes, and what its ``--help`` prints."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import yaml
from option_pages import comments
from tables import Row, shown, table, type_of

from tunesmith.__main__ import command_line
from tunesmith.config.check.check import root_signature


def command_page(root: Path) -> str:
    """Write the generated part of a command's page, without its title.

    Args:
        root: The command's root file in `conf/`.
    """
    text = root.read_text(encoding="utf-8")
    parts = ["## Keys\n", table(_keys(root.stem, text))]
    groups = list(_groups(text))
    if groups:
        parts += ["## Groups\n", "| Group | Option unless another is chosen |\n|---|---|"]
        parts += [f"| [`{group}`](../groups/{group}.md) | {option} |" for group, option in groups]
    parts += ["", f"## `tunesmith {root.stem} --help`\n", f"```text\n{help_text(root.stem)}```\n"]
    return "\n".join(parts)


def _keys(command: str, text: str) -> Iterator[Row]:
    behind = comments(text)
    parameters = root_signature(command).parameters
    for key, value in yaml.safe_load(text).items():
        if key != "defaults":
            default = None if value == "???" else shown(value)
            yield Row(key, default, type_of(parameters.get(key)), behind.get(key, ""))


def _groups(text: str) -> Iterator[tuple[str, str]]:
    for entry in yaml.safe_load(text).get("defaults", []):
        if isinstance(entry, dict):
            ((group, option),) = entry.items()
            chosen = option if isinstance(option, list) else [option]
            yield group, ", ".join("none" if name is None else f"`{name}`" for name in chosen)


def help_text(command: str) -> str:
    """What ``--help`` prints, in lines of at most 100 characters."""
    printed = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": "100"}), contextlib.redirect_stdout(printed):
        command_line([command, "--help"])
    return printed.getvalue().strip() + "\n"
