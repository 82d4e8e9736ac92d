"""Read which arguments a `_target_` takes from its source, importing it only if the source does not tell."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from tunesmith.config import gate
from tunesmith.config.check import source
from tunesmith.config.check.source import AbsentError, Found, Module, UnreadableError
from tunesmith.config.gate import Trust

_EMPTY_BASES = frozenset({"object", "ABC", "Generic", "Protocol"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Parameter:
    """One argument of a target.

    Attributes:
        name: Its name.
        required: Whether it has no default.
        annotation: Its type as written; ``None`` if it has none.
        default: Its default as written; ``None`` if it has none.
        module: Module in which the annotation's names are resolved.
    """

    name: str
    required: bool
    annotation: ast.expr | None = None
    default: ast.expr | None = None
    module: Module | None = None


@dataclass(frozen=True)
class Signature:
    """The arguments of a target.

    Attributes:
        parameters: By name, in the order of positional arguments.
        open: Whether it accepts any further keyword argument.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    open: bool = False

    def accepts(self, name: str) -> bool:
        """Return whether the target takes an argument of this name."""
        return self.open or name in self.parameters


def read(target: str, trust: Trust | None = None) -> Signature:
    """Read the signature of a class or function.

    Args:
        target: Dotted path, as in ``_target_``.
        trust: What may be imported where the source does not tell; ``None`` for what the user allows.

    Returns:
        Its signature, without ``self`` or ``cls``.

    Raises:
        AbsentError: There is no such class or function.
        UnreadableError: It would have to be imported, which the gate forbids.
    """
    signature = _of_source(target)
    if signature is None and not (trust or gate.trust()).passes(target):
        raise UnreadableError(target)
    return signature or _by_import(target)


@cache
def _of_source(target: str) -> Signature | None:
    """The signature as the source has it; ``None`` where that does not tell."""
    try:
        found, owner = source.resolve(target)
        if isinstance(found.node, ast.ClassDef):
            return _of_class(found) or Signature()
        assert isinstance(found.node, Function)
        bound = owner is not None and "staticmethod" not in _decorators(found.node)
        return _of_function(found.node, found.module, skip=bound)[0]
    except (UnreadableError, RecursionError):
        return None


def _decorators(node: Function | ast.ClassDef) -> set[str]:
    calls = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return {ast.unparse(d).rpartition(".")[2] for d in calls}


def _of_class(found: Found) -> Signature | None:
    """Return the signature of a class; ``None`` if neither it nor its bases take arguments."""
    assert isinstance(found.node, ast.ClassDef)
    if "dataclass" in _decorators(found.node):
        return _of_dataclass(found)
    methods = {n.name: n for n in found.node.body if isinstance(n, Function)}
    init = methods.get("__init__") or methods.get("__new__")
    if init is None:
        return _of_bases(found)
    signature, rest = _of_function(init, found.module, skip=True)
    return _with_rest(signature, init, rest, found) if rest else signature


def _of_bases(found: Found) -> Signature | None:
    assert isinstance(found.node, ast.ClassDef)
    for base in found.node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        if ast.unparse(name).rpartition(".")[2] in _EMPTY_BASES:
            continue
        parent = source.evaluate(found.module, name)
        if not isinstance(parent, Found) or not isinstance(parent.node, ast.ClassDef):
            raise UnreadableError(ast.unparse(base))
        signature = _of_class(parent)
        if signature is not None:
            return signature
    return None


def _of_dataclass(found: Found) -> Signature:
    assert isinstance(found.node, ast.ClassDef)
    inherited = _of_bases(found)
    parameters = dict(inherited.parameters) if inherited else {}
    for node in found.node.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if "ClassVar" in ast.unparse(node.annotation) or _not_in_init(node.value):
            continue
        required = node.value is None or (isinstance(node.value, ast.Call) and not _has_default(node.value))
        parameters[node.target.id] = Parameter(node.target.id, required, node.annotation, node.value, found.module)
    return Signature(parameters)


def _not_in_init(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and any(
        k.arg == "init" and isinstance(k.value, ast.Constant) and k.value.value is False for k in value.keywords
    )


def _has_default(call: ast.Call) -> bool:
    if ast.unparse(call.func).rpartition(".")[2] != "field":
        return True
    return any(k.arg in ("default", "default_factory") for k in call.keywords)


def _of_function(node: Function, module: Module, skip: bool) -> tuple[Signature, str | None]:
    """Return a function's signature, and the name of its ``**kwargs`` if it has any."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = list(zip(positional, [*defaults, *arguments.defaults], strict=True))[1 if skip else 0 :]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters = {a.arg: Parameter(a.arg, d is None, a.annotation, d, module) for a, d in pairs}
    return Signature(parameters, open=arguments.kwarg is not None), arguments.kwarg.arg if arguments.kwarg else None


def _with_rest(signature: Signature, init: Function, rest: str, found: Found) -> Signature:
    """Resolve ``**kwargs``: passed on to the base class, taken apart here, or arbitrary."""
    calls = [n for n in ast.walk(init) if isinstance(n, ast.Call)]
    forwards = [c for c in calls if any(k.arg is None and _is_name(k.value, rest) for k in c.keywords)]
    popped = [_popped(c, rest) for c in calls]
    taken = {name: Parameter(name, required=False) for name in popped if name}
    parameters = {**signature.parameters, **taken}
    if not forwards:
        return Signature(parameters, open=not taken)
    if not all(ast.unparse(c.func).startswith("super(") for c in forwards):
        return Signature(parameters, open=True)
    base = _of_bases(found) or Signature()
    given = {k.arg for c in forwards for k in c.keywords if k.arg}
    inherited = {n: p for n, p in base.parameters.items() if n not in given}
    for call in forwards:
        for name in list(base.parameters)[: sum(not isinstance(a, ast.Starred) for a in call.args)]:
            inherited.pop(name, None)
    return replace(base, parameters={**parameters, **{n: p for n, p in inherited.items() if n not in parameters}})


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _popped(call: ast.Call, rest: str) -> str | None:
    """Return the ``x`` of ``kwargs.pop("x", …)`` or ``kwargs.get("x", …)``."""
    func, key = call.func, call.args[0] if call.args else None
    if isinstance(func, ast.Attribute) and func.attr in ("pop", "get", "setdefault") and _is_name(func.value, rest):
        return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
    return None


@cache
def _by_import(target: str) -> Signature:
    """Import the target to read its signature: the last resort, for compiled code and names created at run time."""
    value = _imported(target)
    try:
        signature = inspect.signature(value) if callable(value) else None
    except (ValueError, TypeError):
        signature = None
    if signature is None:
        return Signature(open=True)
    kinds = inspect.Parameter
    parameters = {
        p.name: Parameter(p.name, p.default is kinds.empty)
        for p in signature.parameters.values()
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    }
    return Signature(parameters, any(p.kind is kinds.VAR_KEYWORD for p in signature.parameters.values()))


def _imported(target: str) -> object:
    parts = target.split(".")
    value: object = None
    for i, part in enumerate(parts):
        path = ".".join(parts[: i + 1])
        if hasattr(value, part):
            value = getattr(value, part)
            continue
        try:
            value = importlib.import_module(path)
        except ImportError as error:
            raise AbsentError(path, tuple(n for n in dir(value) if not n.startswith("_")) if value else ()) from error
    return value
