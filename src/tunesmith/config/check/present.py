"""Keep the present folder off Python's path, and import from it only what passed the gate.

Libraries try optional imports: torch asks for ``opt_einsum``, PyTorch Lightning for ``pynvml``. A folder that somebody
sent may hold files of such names, so no command searches it as a whole. A plug-in in it is found by name, once the gate
has passed it (`tunesmith.config.gate`), and so are the modules beside it that its source imports.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

SAFE_PATH = "PYTHONSAFEPATH"
"""Tells Python, from 3.11 on, not to search the folder that it is started in, nor that of a script."""


def leave() -> None:
    """Take the present folder off Python's path, in this process and, by `SAFE_PATH`, in those that it starts.

    It stays where tunesmith itself was found in it.
    """
    here, ours = Path.cwd(), Path(__file__).resolve().parents[3]
    if here.resolve() != ours:
        sys.path[:] = [entry for entry in sys.path if entry and not same(entry, str(here))]
        os.environ[SAFE_PATH] = "1"


def same(one: str | None, other: str | None) -> bool:
    """Return whether two paths are there and name one file or folder."""
    with contextlib.suppress(OSError):
        return one is not None and other is not None and Path(one).samefile(other)
    return False


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Start processes from another folder than the present one, for a server that stays and imports what it likes.

    Such servers (a fork server, Ray's) search the folder that they are started in, by Python's or by their own rule.
    """
    before = Path.cwd()
    os.chdir(Path(__file__).resolve().parents[3])
    try:
        yield
    finally:
        os.chdir(before)


def spec(name: str) -> ModuleSpec | None:
    """Find a top-level module in the present folder, without importing it; ``None`` for installed packages' folders."""
    folder = Path.cwd()
    if {"site-packages", "dist-packages"} & set(folder.parts):
        return None
    found = PathFinder.find_spec(name, [str(folder)])
    return found if found is not None and found.origin else None  # a bare folder is no module


def elsewhere_found(name: str) -> bool:
    """Return whether a top-level module is on Python's path, or was admitted."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def admit(name: str) -> None:
    """Let a top-level module of the present folder be imported, and what its source imports of that folder.

    Where Python's own path has a module of that name, that one is imported.

    Args:
        name: Such as ``my_backbone``; it may be there or not.
    """
    finder = next((f for f in sys.meta_path if isinstance(f, _Admitted)), None)
    if finder is None:
        finder = _Admitted()
        sys.meta_path.append(finder)
    waiting = [name]
    while waiting:
        here = waiting.pop()
        found = spec(here)
        if found is not None and here not in finder.names:
            finder.names[here] = str(Path.cwd())
            waiting += _imported(found)


class _Admitted(MetaPathFinder):
    """Finds admitted modules; it is asked last."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = self.names.get(fullname) if path is None else None
        return PathFinder.find_spec(fullname, [folder]) if folder else None


def _imported(found: ModuleSpec) -> set[str]:
    """Return the top-level names that a module's sources import, at whatever depth."""
    folders = found.submodule_search_locations or ()
    files = [file for folder in folders for file in Path(folder).rglob("*.py")] or [Path(found.origin or "")]
    names: set[str] = set()
    for file in files:
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue  # importing it says so
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.partition(".")[0])
    return names
