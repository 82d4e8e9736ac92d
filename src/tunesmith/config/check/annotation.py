"""Check whether a configuration value fits a type annotation, without importing the annotated types."""

from __future__ import annotations

import ast

from tunesmith.config.check import source
from tunesmith.config.check.source import Found, Module, UnreadableError
from tunesmith.errors import nearest

OBJECT = object()
"""Placeholder for an object that a nested ``_target_`` will build; it fits every annotation."""

_SCALARS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
_PATHS = frozenset({"Path", "PathLike", "PurePath"})
_LISTS = frozenset(
    {"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "set", "Set", "frozenset", "FrozenSet"}
)
_DICTS = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict"})
_ANYTHING = frozenset({"Any", "object", "Hashable"})
_OBJECTS = frozenset({"Tensor", "Module", "Callable", "type", "Type"})
_VALUE_BASES = frozenset({"Enum", "StrEnum", "IntEnum", "LightningEnum", "Protocol", "TypedDict", *_SCALARS})


def fits(value: object, annotation: ast.expr, module: Module | None) -> bool:
    """Return whether a value has the annotated type.

    Args:
        value: Plain data, or `OBJECT`.
        annotation: The annotation's syntax tree.
        module: Module that contains it.

    Returns:
        Whether it fits; ``True`` if that cannot be decided without importing.
    """
    annotation = _opened(annotation)
    members = _members(annotation)
    if members is not None:
        return any(fits(value, m, module) for m in sorted(members, key=_cost))
    if value is OBJECT:
        return True
    if isinstance(annotation, ast.Constant):
        return value is None if annotation.value is None else True
    if isinstance(annotation, ast.Subscript):
        return _fits_generic(value, _last(annotation.value), annotation, module)
    return _fits_name(value, annotation, module)


def describe(annotation: ast.expr, module: Module | None) -> str:
    """Describe in words what an annotation accepts."""
    annotation = _opened(annotation)
    members = _members(annotation)
    if members is not None:
        return " or ".join(dict.fromkeys(describe(m, module) for m in members))
    if words(annotation, module):
        return "one of " + ", ".join(repr(w) for w in words(annotation, module))
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return "null"
    if _last(annotation) == "bool":
        return "true or false"
    alias = _alias(annotation, module) if _cost(annotation) else None
    if alias and isinstance(alias.node, ast.expr):
        return describe(alias.node, alias.module)
    return ast.unparse(annotation)


def words(annotation: ast.expr, module: Module | None) -> list[object]:
    """Return the values that any ``Literal`` in the annotation allows."""
    annotation = _opened(annotation)
    members = _members(annotation)
    if members is not None:
        return [w for m in members for w in words(m, module)]
    if isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Literal":
        return [a.value for a in _arguments(annotation) if isinstance(a, ast.Constant)]
    alias = _alias(annotation, module) if _cost(annotation) else None
    return words(alias.node, alias.module) if alias and isinstance(alias.node, ast.expr) else []


def suggestion(value: object, annotation: ast.expr, module: Module | None) -> str:
    """Return the end of an error message about a value that does not fit: the way out."""
    options = [w for w in words(annotation, module) if isinstance(w, str)]
    if isinstance(value, str) and options:
        near = nearest(value, options)
        return near if near.startswith(" Did") else ""
    if isinstance(value, int | float) and not isinstance(value, bool) and fits(str(value), annotation, module):
        return f" Quote it, as in '\"{value}\"', where a number is meant as text."
    return ""


def _opened(annotation: ast.expr) -> ast.expr:
    """Parse a quoted annotation, and unwrap ``Annotated``, ``Final`` and the like."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _opened(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return ast.Name("Any")
    if isinstance(annotation, ast.Subscript) and _last(annotation.value) in ("Annotated", "Final", "Required"):
        return _opened(_arguments(annotation)[0])
    return annotation


def _members(annotation: ast.expr) -> list[ast.expr] | None:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [annotation.left, annotation.right]
    if isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Union":
        return _arguments(annotation)
    if isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Optional":
        return [*_arguments(annotation), ast.Constant(None)]
    return None


def _arguments(annotation: ast.Subscript) -> list[ast.expr]:
    inner = annotation.slice
    return list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _cost(annotation: ast.expr) -> int:
    """Return 1 if deciding requires reading another file, so that it is tried last."""
    name = _last(annotation)
    known = name in _SCALARS or name in _PATHS or name in _LISTS or name in _DICTS or name in _ANYTHING | _OBJECTS
    return int(bool(name) and not known and name not in ("tuple", "Tuple"))


def _fits_name(value: object, annotation: ast.expr, module: Module | None) -> bool:
    name = _last(annotation)
    if name in _SCALARS:
        return isinstance(value, _SCALARS[name]) and (name == "bool" or not isinstance(value, bool))
    if name in _PATHS:
        return isinstance(value, str)
    if name in _LISTS or name in ("tuple", "Tuple"):
        return isinstance(value, list)
    if name in _DICTS:
        return isinstance(value, dict)
    if name in _OBJECTS:
        return not _is_scalar(value)
    return name in _ANYTHING or not name or _fits_found(value, annotation, module)


def _fits_found(value: object, annotation: ast.expr, module: Module | None) -> bool:
    """Return whether a value fits a name defined elsewhere: a class, or an alias of another annotation."""
    found = _alias(annotation, module)
    if found is None or isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    if isinstance(found.node, ast.ClassDef):
        bases = {_last(b.value if isinstance(b, ast.Subscript) else b) for b in found.node.bases}
        return bool(bases & _VALUE_BASES) or not _is_scalar(value)
    return fits(value, found.node, found.module) if _is_type(found.node) else True


def _is_type(node: ast.expr) -> bool:
    """Return whether an assigned expression is a type alias, rather than a TypeVar or a value."""
    return isinstance(node, ast.Subscript | ast.BinOp | ast.Name | ast.Attribute)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _alias(annotation: ast.expr, module: Module | None) -> Found | None:
    if module is None:
        return None
    try:
        found = source.evaluate(module, annotation)
    except (UnreadableError, RecursionError):
        return None
    return found if isinstance(found, Found) and found.node is not annotation else None


def _fits_generic(value: object, name: str, annotation: ast.Subscript, module: Module | None) -> bool:
    arguments = _arguments(annotation)
    if name == "Literal":
        return any(
            isinstance(a, ast.Constant) and a.value == value and isinstance(value, type(a.value)) for a in arguments
        )
    if name in _LISTS:
        return isinstance(value, list) and all(fits(v, arguments[0], module) for v in value)
    if name in ("tuple", "Tuple"):
        return isinstance(value, list) and _fits_tuple(value, arguments, module)
    if name in _DICTS:
        return isinstance(value, dict) and all(fits(v, arguments[-1], module) for v in value.values())
    return _fits_name(value, annotation.value, module)


def _fits_tuple(value: list[object], arguments: list[ast.expr], module: Module | None) -> bool:
    if isinstance(arguments[-1], ast.Constant) and arguments[-1].value is Ellipsis:
        return all(fits(v, arguments[0], module) for v in value)
    return len(value) == len(arguments) and all(fits(v, a, module) for v, a in zip(value, arguments, strict=True))
