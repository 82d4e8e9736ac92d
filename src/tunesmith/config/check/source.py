"""Find where a dotted name is defined by reading source files, without importing anything heavy.

Importing torch takes seconds; parsing the files that define `torch.optim.AdamW` takes milliseconds. Only the finders of
the top-level package are used (which imports nothing); below it, paths are walked and files are parsed.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tunesmith.config.check import present

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class UnreadableError(Exception):
    """Raised when the source does not tell, so that only importing could."""


class AbsentError(Exception):
    """Raised when a name certainly does not exist.

    Args:
        name: The shortest dotted prefix that does not exist.
        valid: Names that exist in its place.
    """

    def __init__(self, name: str, valid: tuple[str, ...] = ()) -> None:
        self.name = name
        self.valid = valid
        super().__init__(name)


@dataclass(frozen=True)
class Imported:
    """A name bound by an import statement: ``name`` of ``module``, or the module itself."""

    module: str
    name: str | None = None


@dataclass(eq=False)
class Module:
    """A module, read from its source file.

    Attributes:
        name: Dotted name.
        folders: Folders of its submodules; empty unless it is a package.
        names: What each of its names is bound to.
        stars: Modules imported with a star.
    """

    name: str
    folders: tuple[Path, ...] = ()
    names: dict[str, Definition | ast.expr | Imported] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    def read(self, statements: list[ast.stmt], first: bool = False) -> None:
        """Record the names that statements bind; ``first`` keeps existing bindings (the else of an if, an except)."""
        for statement in statements:
            for name, value in self._bindings(statement):
                if not (first and name in self.names):
                    self.names[name] = value
            if isinstance(statement, ast.If | ast.Try):
                self.read(statement.body, first)
                for handler in statement.handlers if isinstance(statement, ast.Try) else ():
                    self.read(handler.body, first=True)
                self.read(statement.orelse, first=True)
            elif isinstance(statement, ast.With):
                self.read(statement.body, first)

    def _bindings(self, statement: ast.stmt) -> Iterator[tuple[str, Definition | ast.expr | Imported]]:
        if isinstance(statement, Definition):
            yield statement.name, statement
        elif isinstance(statement, ast.Assign):
            yield from ((t.id, statement.value) for t in statement.targets if isinstance(t, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value
        elif isinstance(statement, ast.ImportFrom):
            yield from self._imported(statement)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                yield (
                    (alias.asname or alias.name.partition(".")[0]),
                    Imported(alias.name if alias.asname else alias.name.partition(".")[0]),
                )

    def _imported(self, statement: ast.ImportFrom) -> Iterator[tuple[str, Imported]]:
        origin = statement.module or ""
        if statement.level:
            up = statement.level - (1 if self.folders else 0)
            base = self.name.split(".")[: len(self.name.split(".")) - up]
            origin = ".".join([*base, origin] if origin else base)
        for alias in statement.names:
            if alias.name == "*":
                self.stars.append(origin)
            else:
                yield alias.asname or alias.name, Imported(origin, alias.name)


@dataclass(frozen=True)
class Found:
    """A definition, or the expression assigned to a name, and the module that contains it."""

    module: Module
    node: Definition | ast.expr


@cache
def load(name: str) -> Module | None:
    """Read a module's source.

    Args:
        name: Dotted name.

    Returns:
        The module, or ``None`` if it certainly does not exist.

    Raises:
        UnreadableError: The module has no Python source (an extension, a custom finder).
    """
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top) or present.spec(top)  # reading it runs nothing
    except (ValueError, ImportError):
        raise UnreadableError(name) from None
    if spec is None:
        return None
    folders = tuple(Path(p) for p in spec.submodule_search_locations or ())
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    for part in rest:
        file, folders = _child(folders, part)
        if file is None and not folders:
            return None
    return _parsed(name, file, folders)


def _child(folders: tuple[Path, ...], part: str) -> tuple[Path | None, tuple[Path, ...]]:
    for folder in folders:
        if (folder / part / "__init__.py").is_file():
            return folder / part / "__init__.py", (folder / part,)
        if (folder / f"{part}.py").is_file():
            return folder / f"{part}.py", ()
        extension = next(folder.glob(f"{part}.*.so"), None) or next(folder.glob(f"{part}*.pyd"), None)
        if extension:
            return extension, ()
    return None, tuple(f / part for f in folders if (f / part).is_dir())


def _parsed(name: str, file: Path | None, folders: tuple[Path, ...]) -> Module:
    module = Module(name, folders)
    if file is None and folders:
        return module  # a namespace package
    if file is None or file.suffix != ".py":
        raise UnreadableError(name)
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, OSError):
        raise UnreadableError(name) from None
    module.read(tree.body)
    return module


def lookup(module: Module, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> Found | Module | None:
    """Find what a name means inside a module, following re-exports.

    Args:
        module: The module.
        name: The name, without dots.
        seen: Pairs of module and name already followed, to stop at import cycles.

    Returns:
        The definition, a module, or ``None`` if the name certainly does not exist.

    Raises:
        UnreadableError: The source does not tell.
    """
    if (module.name, name) in seen:
        return None
    seen |= {(module.name, name)}
    bound = module.names.get(name)
    if isinstance(bound, Imported):
        return _follow(module, bound, seen)
    if isinstance(bound, ast.Name | ast.Attribute):
        return evaluate(module, bound, seen) or Found(module, bound)
    if bound is not None:
        return Found(module, bound)
    for star in reversed(module.stars):
        origin = load(star)
        found = lookup(origin, name, seen) if origin else None
        if found:
            return found
    submodule = load(f"{module.name}.{name}") if module.folders else None
    if submodule is None and "__getattr__" in module.names:
        raise UnreadableError(f"{module.name}.{name}")
    return submodule


def _follow(module: Module, bound: Imported, seen: frozenset[tuple[str, str]]) -> Found | Module | None:
    origin = load(bound.module)
    if origin is None:
        raise UnreadableError(bound.module)  # an optional dependency
    if bound.name is None:
        return origin
    if origin.name == module.name and bound.name not in origin.names:
        return load(f"{bound.module}.{bound.name}")
    return lookup(origin, bound.name, seen) or load(f"{bound.module}.{bound.name}")


def evaluate(module: Module, expr: ast.expr, seen: frozenset[tuple[str, str]] = frozenset()) -> Found | Module | None:
    """Find what a dotted expression, such as ``nn.Module``, means inside a module.

    Args:
        module: Module that contains the expression.
        expr: Names and attributes only; anything else is not followed.
        seen: As in `lookup`.

    Returns:
        Its meaning, or ``None`` if that is unknown.

    Raises:
        UnreadableError: The source does not tell.
    """
    if isinstance(expr, ast.Name):
        return lookup(module, expr.id, seen)
    if isinstance(expr, ast.Attribute):
        owner = evaluate(module, expr.value, seen)
        if isinstance(owner, Module):
            return lookup(owner, expr.attr, seen)
    return None


@cache
def resolve(dotted: str) -> tuple[Found, Definition | None]:
    """Find the class or function that a ``_target_`` names.

    Args:
        dotted: Such as ``torch.optim.AdamW`` or ``package.Class.from_file``.

    Returns:
        The definition, and, for a method, the class that owns it.

    Raises:
        AbsentError: There is no such class or function.
        UnreadableError: The source does not tell.
    """
    top, *rest = dotted.split(".")
    here: Found | Module | None = load(top)
    if here is None or not rest:
        raise AbsentError(top)
    owner: Definition | None = None
    for i, part in enumerate(rest):
        before, path = here, ".".join([top, *rest[: i + 1]])
        if isinstance(before, Module):
            # A package rarely shadows its submodule with an attribute of the same name, and trying the file first
            # avoids parsing torch/__init__.py.
            submodule = load(path) if i < len(rest) - 1 and before.folders else None
            here = submodule or lookup(before, part)
        else:
            owner, here = _member(before, part)
        if here is None:
            raise AbsentError(path, names_in(before) if isinstance(before, Module) else ())
    if not isinstance(here, Found) or not isinstance(here.node, Definition):
        raise UnreadableError(dotted)
    return here, owner


def names_in(module: Module, seen: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """List all names of a module: its own, its submodules, and those it imports with a star."""
    files = [p.stem for f in module.folders for p in f.glob("[a-z]*") if _is_module(p)]
    names = [*module.names, *files]
    for star in set(module.stars) - seen:
        with suppress(UnreadableError):
            origin = load(star)
            names += names_in(origin, seen | {module.name, star}) if origin else ()
    return tuple(names)


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _member(owner: Found, name: str) -> tuple[ast.ClassDef, Found]:
    if not isinstance(owner.node, ast.ClassDef):
        raise UnreadableError(name)
    body = Module(owner.module.name)
    body.read(owner.node.body)
    node = body.names.get(name)
    if node is None or isinstance(node, Imported):
        raise UnreadableError(name)  # inherited, or created at run time
    return owner.node, Found(owner.module, node)
