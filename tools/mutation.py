"""Lists the mutants of a module: its source with one small fault each, such as ``<=`` for ``<`` or a statement dropped.

The operators are those of the literature (Offutt et al. 1996, King and Offutt 1991) that find gaps in tests rather than
type errors: comparisons, boundaries, conditions, numbers, arithmetic, dropped statements, returned values, entries of
displays and arguments. Annotations, decorators, docstrings, imports and the words of error messages stay as they are.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

OPPOSITE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin"}
UNWRAPPED = ("lower", "strip", "resolve", "expanduser", "clone", "sorted")
"""Calls that are replaced by what they are called on."""

IRRELEVANT = ("strict", "encoding")
"""Arguments that state what is so anyway: lengths that are equal, UTF-8 where the locale has it."""


@dataclass(frozen=True)
class Mutant:
    """One fault in one module.

    Attributes:
        where: The function, such as ``Claims.take``, or ``module``.
        before: What stands there.
        after: What the mutant has instead.
        begin: Offset of ``before`` in the source, in bytes of UTF-8.
        number: Which of equal mutants in this function, from 1.
    """

    where: str
    before: str
    after: str
    begin: int
    number: int = 1

    @property
    def name(self) -> str:
        """One line that no other mutant of the module has, and that stays when lines move."""
        number = f" ({self.number})" if self.number > 1 else ""
        return f"{self.where}: {_short(self.before)} -> {_short(self.after)}{number}"

    def applied(self, source: str) -> str:
        """The source of the module with the fault."""
        content = source.encode()
        end = self.begin + len(self.before.encode())
        return (content[: self.begin] + self.after.encode() + content[end:]).decode()


def mutants(source: str) -> list[Mutant]:
    """List the mutants of a source, in its order; each is valid syntax and another program text."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    seen: Counter[str] = Counter()
    found = []
    for mutant in sorted(dict.fromkeys(finder.found), key=lambda m: (m.begin, m.before, m.after)):
        if mutant.before == mutant.after:
            continue
        seen[mutant.name] += 1
        found.append(replace(mutant, number=seen[mutant.name]))
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:60]} … {line[-27:]}"


class _Finder(ast.NodeVisitor):
    """Walks a module and notes a mutant for each place and operator."""

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        self.starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.scope: list[str] = []
        self.found: list[Mutant] = []

    def visit(self, node: ast.AST) -> None:
        """Note the mutants of a node, then those of what is in it."""
        for operator in _OPERATORS:
            for after in operator(node):
                self._note(node, after)
        for condition in _conditions(node):
            self._note(condition, ast.UnaryOp(ast.Not(), condition))
        super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> None:  # as `ast` names it
        """Its default values and its body."""
        self.scope.append(node.name)
        for child in [*_defaults(node), *node.body]:
            self.visit(child)
        self.scope.pop()

    visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Its value alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Its value, unless that is a docstring or a line for the log."""
        logs = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).startswith("log.")
        if not logs and not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Its value and its index, unless it is a type."""
        if ast.unparse(node.value) != "Literal":
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Its value, where it makes a difference."""
        if node.arg not in IRRELEVANT:
            self.generic_visit(node)

    def _passed_over(self, node: ast.AST) -> None:
        """Words for people; and parts of f-strings, which have no places of their own before Python 3.12."""

    visit_Raise = visit_JoinedStr = visit_Import = visit_ImportFrom = _passed_over  # noqa: N815

    def _note(self, node: ast.AST, after: ast.AST | str) -> None:
        assert isinstance(node, ast.expr | ast.stmt)
        begin = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = self.source[begin:end].decode()
        text = after if isinstance(after, str) else ast.unparse(after)
        if isinstance(node, ast.expr) and not isinstance(node, ast.Constant):
            text = f"({text})"  # it may stand within another expression
        self.found.append(Mutant(".".join(self.scope) or "module", before, text, begin))


def _defaults(node: ast.FunctionDef | ast.ClassDef) -> list[ast.expr]:
    if isinstance(node, ast.ClassDef):
        return []
    return [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]


def _conditions(node: ast.AST) -> Iterator[ast.expr]:
    """Conditions of a node that no other operator turns round."""
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else getattr(node, "ifs", [])
    yield from (test for test in tests if not isinstance(test, ast.Compare | ast.UnaryOp))


# ── operators: each gives what may stand in a node's place ──────────────────────────────────────────────────────────


def _comparisons(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in OPPOSITE[type(operator)]:
                yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1 :]], node.comparators)


def _logic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for i in range(len(node.values)):
            rest = [*node.values[:i], *node.values[i + 1 :]]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


def _filters(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        for i, part in enumerate(node.generators):
            if part.ifs:
                free = ast.comprehension(part.target, part.iter, [], part.is_async)
                yield type(node)(node.elt, [*node.generators[:i], free, *node.generators[i + 1 :]])


def _numbers(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
        if node.value > 0:
            yield ast.Constant(node.value - 1)
    elif isinstance(node.value, float):
        yield ast.Constant(node.value + 1.0)


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand


def _is_text(node: ast.BinOp) -> bool:
    """Whether it puts texts, lists or paths together, for which other operators are errors of type."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    names |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    put_together = ast.Constant | ast.JoinedStr | ast.List | ast.ListComp
    texts = [part for part in ast.walk(node) if isinstance(part, put_together) and not _is_number(part)]
    return bool(texts) or any(word in name.lower() for name in names for word in ("folder", "path", "cwd"))


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _dropped(node: ast.AST) -> Iterator[ast.AST | str]:
    if (
        (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and all(isinstance(t, ast.Attribute | ast.Subscript) for t in _targets(node)))
        or isinstance(node, ast.AugAssign | ast.Raise | ast.Delete | ast.Continue | ast.Break)
    ):
        yield "pass"
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield "return None"


def _targets(node: ast.Assign) -> list[ast.expr]:
    first = node.targets[0]
    return first.elts if isinstance(first, ast.Tuple) else [first]


def _entries(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Dict):
        for i in range(len(node.keys)):
            yield ast.Dict([*node.keys[:i], *node.keys[i + 1 :]], [*node.values[:i], *node.values[i + 1 :]])
    elif isinstance(node, ast.Tuple | ast.List) and all(isinstance(e, ast.Constant) for e in node.elts):
        for i in range(len(node.elts)):
            yield type(node)([*node.elts[:i], *node.elts[i + 1 :]], node.ctx)
    elif isinstance(node, ast.Set) and len(node.elts) > 1:
        for i in range(len(node.elts)):
            yield ast.Set([*node.elts[:i], *node.elts[i + 1 :]])


def _calls(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call):
        return
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in SWAPPED:
        other = SWAPPED[name]
        func = ast.Attribute(node.func.value, other) if isinstance(node.func, ast.Attribute) else ast.Name(other)
        yield ast.Call(func, node.args, node.keywords)
    elif name in UNWRAPPED:
        yield node.func.value if isinstance(node.func, ast.Attribute) else ast.Call(ast.Name("list"), node.args[:1], [])
    for i, word in enumerate(node.keywords):
        if word.arg not in IRRELEVANT:
            yield ast.Call(node.func, node.args, [*node.keywords[:i], *node.keywords[i + 1 :]])


_OPERATORS = (_comparisons, _logic, _filters, _numbers, _arithmetic, _dropped, _entries, _calls)
