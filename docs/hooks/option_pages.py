"""A page a config group: every option with its YAML, its keys and their defaults, from `conf/` and the docstrings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from docstrings import Described, lineage
from tables import Row, default_of, markdown, names, shown, table, type_of

from tunesmith.config import find
from tunesmith.config.check import signature
from tunesmith.config.check.check import SPECIAL, supplied
from tunesmith.config.check.signature import Parameter
from tunesmith.config.check.source import AbsentError


@dataclass(frozen=True)
class Option:
    """One YAML of a group.

    Attributes:
        group: Of which group.
        path: The file.
        text: What is in it.
        own: What it sets.
        below: The options of its group that it builds on.
        values: What it sets, over what those set.
        comments: The comment behind each key, by dotted path.
    """

    group: str
    path: Path
    text: str
    own: dict[str, Any]
    below: tuple[str, ...]
    values: dict[str, Any]
    comments: dict[str, str]

    @property
    def spread(self) -> bool:
        """Whether it sets keys of any group rather than of its own."""
        return "# @package _global_" in self.text


class Node(NamedTuple):
    """A mapping with a ``_target_``, somewhere in an option."""

    path: str
    target: str
    values: Mapping[str, Any]


def group_page(folder: Path) -> str:
    """Write the generated part of a group's page, without its title.

    Args:
        folder: The group's folder in `conf/`.
    """
    options = [read(path) for path in sorted(folder.rglob("*.yaml"))]
    targets = [name for o in options if not o.below for name in {d.target for n in nodes(o) for d in lineage(n.target)}]
    shared = [name for name, count in Counter(targets).items() if count > 1]
    parts = ["## Options\n", _contents(options), *(_option(o, shared) for o in options)]
    if shared:
        parts.append("## What several options share\n")
        parts += [_shared(folder.name, name, options) for name in sorted(shared, key=lambda n: n.rpartition(".")[2])]
    return "\n".join(parts)


def read(path: Path) -> Option:
    """Read an option and what it builds on."""
    text = path.read_text(encoding="utf-8")
    own = yaml.safe_load(text) or {}
    listed = [entry for entry in own.pop("defaults", []) if isinstance(entry, str)]
    below = tuple(name for name in listed if (path.parent / f"{name}.yaml").is_file())
    values: dict[str, Any] = {}
    for name in below:
        values = _merged(values, read(path.parent / f"{name}.yaml").values)
    group = path.parent.relative_to(find.package_conf()).as_posix()
    return Option(group, path, text, own, below, _merged(values, own), comments(text))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {k: _merged(below[k], v) for k, v in above.items() if isinstance(v, dict) and isinstance(below.get(k), dict)}
    return {**below, **above, **both}


def comments(text: str) -> dict[str, str]:
    """The comment behind each key of a YAML, by dotted path."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.match(r"( *)([\w.]+):(?:\s|$)", line)
        if match:
            path = [(indent, key) for indent, key in path if indent < len(match[1])] + [(len(match[1]), match[2])]
            behind = re.search(r"\s#\s*(.*)$", line)
            if behind:
                found[".".join(key for _, key in path)] = behind[1]
    return found


def header(text: str) -> list[str]:
    """A YAML's header comment; an experiment's lines stay apart, each with its title in bold."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.lstrip("#").strip()
        titled = re.match(r"(Question|Command|Time|Expect|Licence|Needs):\s+(.*)", words)
        if titled:
            body = f"`{titled[2]}`" if titled[1] == "Command" else titled[2]
            lines.append(f"**{titled[1]}.** {body[0].upper()}{body[1:]}")
        elif words and not words.startswith("@package"):
            lines = [*lines[:-1], f"{lines[-1]} {words}"] if lines else [words]
    return lines


def nodes(option: Option) -> Iterator[Node]:
    """The mappings with a ``_target_`` in an option, outermost first."""
    if not option.spread:
        yield from _nodes(option.values, option.group.replace("/", "."))


def _nodes(values: Any, path: str) -> Iterator[Node]:
    if not isinstance(values, dict):
        return
    if isinstance(values.get("_target_"), str):
        yield Node(path, values["_target_"], values)
    for key, value in values.items():
        yield from _nodes(value, f"{path}.{key}")


def _contents(options: list[Option]) -> str:
    lines = [f"- [`{o.path.stem}`](#{anchor(o.path.stem)}): {markdown(_headline(o))}" for o in options]
    return "\n".join(lines) + "\n"


def _headline(option: Option) -> str:
    return re.sub(r"^\*\*\w+\.\*\* ", "", header(option.text)[0])


def anchor(name: str) -> str:
    """The fragment that leads to an option, by its name, or to a class, by its dotted path."""
    owner, _, last = name.rpartition(".")
    return f"class-{last.lower()}" if owner else last


def _option(option: Option, shared: list[str]) -> str:
    title = f"### `{option.path.stem}` {{ #{anchor(option.path.stem)} }}\n"
    yaml_block = f'```yaml title="conf/{option.group}/{option.path.name}"\n{_body(option.text)}```\n'
    found = list(nodes(option))
    about = [p for node in found[:1] for p in _about(node, shared)]
    paragraphs = [*map(markdown, header(option.text)), yaml_block, *about, *_built_on(option)]
    rows = [row for node in found for row in _rows(option, node, shared)]
    further = [] if option.below else [_further(node, shared) for node in found]
    return "\n".join([title, "\n\n".join(paragraphs), "", table(rows), *further])


def _built_on(option: Option) -> list[str]:
    links = " and ".join(f"[`{name}`](#{anchor(name)})" for name in option.below)
    return [f"The rest is that of {links}."] if links else []


def _body(text: str) -> str:
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    return "\n".join(lines[first:]).strip() + "\n"


def _about(node: Node, shared: list[str]) -> list[str]:
    """What the docstring of an option's target says, where it is not said below for all."""
    described = lineage(node.target)
    return [markdown(p) for p in described[0].summary] if described and described[0].target not in shared else []


def _rows(option: Option, node: Node, shared: list[str]) -> Iterator[Row]:
    """The keys that the YAML sets, then the other arguments; those of shared classes are described further down."""
    parameters = _parameters(node.target)
    for key in _own_keys(option, node) if option.below else _keys(node):
        owner = _owner(node.target, key)
        if (owner and owner.target in shared) or (owner is None and key not in node.values):
            continue
        parameter = parameters.get(key)
        text = (owner.arguments.get(key) if owner else None) or option.comments.get(
            f"{node.path}.{key}".partition(".")[2], ""
        )
        yield Row(f"{node.path}.{key}", _default(node, key), type_of(parameter), text)


def _keys(node: Node) -> list[str]:
    """What can be given at a node: what it sets, then what else its target takes and code does not supply."""
    parts = {key for key, value in node.values.items() if key in SPECIAL or any(True for _ in _nodes(value, ""))}
    by_code = supplied(node.path)
    listed = dict.fromkeys([*node.values, *(n for n in _parameters(node.target) if n not in by_code)])
    return [key for key in listed if key not in parts]


def _parameters(target: str) -> Mapping[str, Parameter]:
    """The arguments of a target; none where the user is to name it."""
    try:
        return signature.read(target).parameters
    except AbsentError:
        return {}


def _own_keys(option: Option, node: Node) -> list[str]:
    """What an option sets at a node itself, where it builds on another."""
    own: Any = option.own
    for part in node.path.split(".")[1:]:
        own = own.get(part) if isinstance(own, dict) else None
    return [key for key in _keys(node) if isinstance(own, dict) and key in own]


def _default(node: Node, key: str) -> str | None:
    """The value of a key, from the YAML or else the signature; ``None`` where it must be given."""
    if key in node.values:
        return None if node.values[key] == "???" else shown(node.values[key])
    return default_of(_parameters(node.target)[key])


def _owner(target: str, name: str) -> Described | None:
    """The class that describes an argument: the target itself, or the nearest base; ``None`` for a library's."""
    described = lineage(target)
    return next((d for d in described if name in d.arguments), described[0] if described else None)


def _further(node: Node, shared: list[str]) -> str:
    """A line for the arguments that have no row: those described further down, or by the library."""
    by_owner: dict[str, list[tuple[str, str | None]]] = {}
    for key in _keys(node):
        owner = _owner(node.target, key)
        if owner.target in shared if owner else key not in node.values:
            by_owner.setdefault(owner.target if owner else "", []).append((key, _default(node, key)))
    lines = []
    for target, values in by_owner.items():
        link = f"[`{target.rpartition('.')[2]}`](#{anchor(target)})"
        whose = f"The arguments of {link}, described below," if target else f"Further arguments of `{node.target}`,"
        lines.append(f"{whose} as `{node.path}.…`: {names(values)}.\n")
    return "\n".join(lines)


def _shared(group: str, target: str, options: list[Option]) -> str:
    """The section of a class that several options build or derive from, with every argument that it describes."""
    uses = [node for o in options for node in nodes(o) if target in {d.target for d in lineage(node.target)}]
    described = next(d for d in lineage(uses[0].target) if d.target == target)
    path = uses[0].path if len({u.path for u in uses}) == 1 else f"{group}.…"
    parameters = _parameters(target)
    by_code = supplied(uses[0].path)
    own = [p for n, p in parameters.items() if _owner(target, n) == described and n not in by_code]
    rows = [Row(f"{path}.{p.name}", default_of(p), type_of(p), described.arguments.get(p.name, "")) for p in own]
    title = f"### `{described.name}` {{ #{anchor(target)} }}\n"
    return "\n".join([title, *(f"{markdown(p)}\n" for p in described.summary), table(rows)])
