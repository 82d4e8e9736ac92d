"""Read what a target's docstrings say from its source, as `tunesmith.config.check.signature` reads its arguments."""

from __future__ import annotations

import ast
import inspect
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

from tunesmith.config.check import source
from tunesmith.config.check.source import AbsentError, Definition, Found, UnreadableError


@dataclass(frozen=True)
class Described:
    """A class or function of ours and what its docstring says.

    Attributes:
        target: Dotted path.
        summary: What stands in front of the sections, a paragraph an item.
        arguments: Text by name of argument.
    """

    target: str
    summary: tuple[str, ...] = ()
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.target.rpartition(".")[2]


@cache
def lineage(target: str) -> tuple[Described, ...]:
    """Describe a target of ours and, behind it, those classes of ours that it derives from; nothing for a library's."""
    try:
        found, _ = source.resolve(target)
    except (AbsentError, UnreadableError):
        return ()
    return tuple(_describe(f) for f in _ours(found))


def _ours(found: Found) -> list[Found]:
    if found.module.name.partition(".")[0] != "tunesmith":
        return []
    chain = [found]
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else []:
        with suppress(UnreadableError):  # a base of compiled code is no class of ours
            parent = source.evaluate(found.module, base)
            if isinstance(parent, Found) and isinstance(parent.node, ast.ClassDef):
                chain += _ours(parent)
    return chain


def _describe(found: Found) -> Described:
    assert isinstance(found.node, Definition)
    own = inspect.cleandoc(ast.get_docstring(found.node) or "")
    is_data = isinstance(found.node, ast.ClassDef) and any(
        "dataclass" in ast.unparse(d) for d in found.node.decorator_list
    )
    arguments = sections(own).get("Attributes" if is_data else "Args", "")
    summary = sections(own)[""].strip().split("\n\n")
    return Described(
        f"{found.module.name}.{found.node.name}", tuple(" ".join(p.split()) for p in summary if p), entries(arguments)
    )


def sections(text: str) -> dict[str, str]:
    """Part a Google docstring into its sections by title; what stands in front of them is under ""."""
    parts = re.split(r"^(Args|Attributes|Returns|Raises|Yields|Example|Examples|Note):\n", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> dict[str, str]:
    """The entries of a section ``Args:``, each on one line; ``**rest`` is left out."""
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.match(r"    (\**\w+): ?(.*)", line)
        if match:
            name, text = match.groups()
            found[name] = text
        elif name and line.startswith(" " * 5):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return {name: text for name, text in found.items() if not name.startswith("*")}
