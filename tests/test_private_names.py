"""What libraries keep private is used in ``compat/`` alone (Hydra's in ``config/hydra/``), and asserted there.

A private name can vanish with any release; then a read raises somewhere deep in a run, and an assignment makes a new
attribute that nobody reads. So each stands in one place, where importing that place checks that it is still there.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tunesmith"
MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = ("compat/", "config/hydra/")

# Documented in spite of their underscore: keys of Hydra's configurations, named tuples' methods, the end of a fork.
KEYS = frozenset({"_target_", "_args_", "_partial_", "_recursive_", "_convert_"})
NAMED_TUPLE = frozenset({"_replace", "_fields", "_asdict", "_make"})
DOCUMENTED = frozenset({"os._exit"})

# Attributes of libraries' objects that their documentation says may be assigned.
ASSIGNABLE = {
    "training": "torch.nn.Module",
    "grad": "torch.Tensor",
    "data": "torch.Tensor",
    "weight": "torch.nn.Embedding and torch.nn.Conv2d",
    "trainer": "lightning.pytorch.LightningModule",
    "sampler": "optuna.study.Study",
    "src_lang": "tokenizers of transformers that write several languages",
    "tgt_lang": "tokenizers of transformers that write several languages",
    "generation_config": "transformers.GenerationMixin",
    "pad_token_id": "transformers.GenerationConfig",
    "handleError": "logging.Handler",
    "exit_on_error": "argparse.ArgumentParser",
    "image_size": "a node of the configuration",
    "in_float32": "a mark of ours, on convolutions",
    "flatten": "a member of ours, of torchvision's VGG and MobileNet",
    "relu": "a member of ours, of torchvision's DenseNet",
    "avgpool": "a member of ours, of torchvision's DenseNet",
    "stdin": "sys",
    "argv": "sys",
}

PROBES = frozenset({"getattr", "setattr", "hasattr", "delattr", "attrgetter", "patch"})


class Use(NamedTuple):
    """A place where something private is used."""

    line: int
    name: str


def is_private(name: str) -> bool:
    return re.fullmatch(r"_[a-zA-Z]\w*", name) is not None and name not in KEYS


def is_internal(path: str) -> bool:
    """Whether a dotted path leads through something private."""
    return any(is_private(part) or re.search(r"(^|_)internal(_|$)", part) for part in path.split("."))


def is_own(node: ast.expr) -> bool:
    """Whether an object is the one, or the class, whose code this is."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def defined(tree: ast.Module) -> set[str]:
    """Names that a module gives to what is its own: functions, classes, variables, attributes of ``self``."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            names.add(node.attr)
    return names


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


@cache
def all_defined() -> frozenset[str]:
    return frozenset().union(*map(defined, trees().values()))


def attributes(tree: ast.Module, ours: frozenset[str]) -> Iterator[Use]:
    """Private attributes of other objects; on ``self`` those that no class of ours defines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not is_private(node.attr) or node.attr in NAMED_TUPLE:
            continue
        if not (is_own(node.value) and node.attr in ours) and ast.unparse(node) not in DOCUMENTED:
            yield Use(node.lineno, ast.unparse(node))


def imports(tree: ast.Module) -> Iterator[Use]:
    """Imports of private modules, or of private names; of our own as well."""
    for node in ast.walk(tree):
        paths = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (Use(node.lineno, path) for path in paths if path != "__future__" and is_internal(path))


def texts(tree: ast.Module) -> Iterator[Use]:
    """Private names in quotes: asked for by `getattr` and its like or in ``vars(…)``, or behind a dot of a path."""
    for_dicts = any(
        (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "vars")
        or (isinstance(node, ast.Attribute) and node.attr == "__dict__")
        for node in ast.walk(tree)
    )
    for node in ast.walk(tree):
        probed = [node] if for_dicts else []
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            probed = list(node.args) if called in PROBES else []
        for text in probed:
            if isinstance(text, ast.Constant) and isinstance(text.value, str) and is_private(text.value):
                yield Use(text.lineno, repr(text.value))
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"[a-z]\w*(\.\w+)+", node.value)
        ):
            yield from (Use(node.lineno, repr(node.value)) for _ in [0] if is_internal(node.value))


def assignments(tree: ast.Module, ours: frozenset[str]) -> Iterator[Use]:
    """Assignments to attributes that nothing of ours has, and that no documentation offers."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and not is_own(node.value)
            and not node.attr.startswith("__")
            and node.attr not in ours
            and node.attr not in ASSIGNABLE
        ):
            yield Use(node.lineno, f"{ast.unparse(node)} = …")


def uses(tree: ast.Module, ours: frozenset[str]) -> list[Use]:
    return sorted({*attributes(tree, ours), *imports(tree), *texts(tree), *assignments(tree, ours)})


def test_private_names_stand_in_their_rooms():
    found = [
        f"{path.relative_to(SOURCE.parents[1])}:{use.line}: {use.name}"
        for path, tree in trees().items()
        if not path.relative_to(SOURCE).as_posix().startswith(ROOMS)
        for use in uses(tree, all_defined())
    ]
    assert not found, "\n".join(["Move these into src/tunesmith/compat/:", *found])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("x._moved()", "x._moved"),
        ("x.y._loop = 1", "x.y._loop"),
        ("task._own", "task._own"),
        ("self._theirs", "self._theirs"),
        ("cls._theirs", "cls._theirs"),
        ("super()._theirs()", "super()._theirs"),
        ("type(x)._theirs", "type(x)._theirs"),
        ("from lib._hidden import Public", "lib._hidden.Public"),
        ("from lib import _hidden", "lib._hidden"),
        ("from lib.proto import lib_internal_pb2", "lib.proto.lib_internal_pb2"),
        ("import lib._hidden", "lib._hidden"),
        ("import lib._hidden as public", "lib._hidden"),
        ("getattr(x, '_theirs', None)", "'_theirs'"),
        ("setattr(x, '_theirs', 1)", "'_theirs'"),
        ("hasattr(x, '_own')", "'_own'"),
        ("delattr(x, '_theirs')", "'_theirs'"),
        ("operator.attrgetter('_theirs')", "'_theirs'"),
        ("mock.patch('lib.Kind._theirs')", "'lib.Kind._theirs'"),
        ("import_module('lib._hidden.part')", "'lib._hidden.part'"),
        ("vars(x)['_theirs']", "'_theirs'"),
        ("held = x.__dict__\nheld.get('_theirs')", "'_theirs'"),
        ("x.theirs = 1", "x.theirs = …"),
        ("x.y.theirs += 1", "x.y.theirs = …"),
        ("a, x.theirs = 1, 2", "x.theirs = …"),
        ("with open(a) as x.theirs: pass", "x.theirs = …"),
    ],
)
def test_each_kind_of_use_is_found(line, name):
    tree = ast.parse(f"class Mine:\n    def __init__(self):\n        self._own = 1\n{line}\n")
    assert name in [use.name for use in uses(tree, frozenset(defined(tree)))]


@pytest.mark.parametrize(
    "line",
    [
        "self._own",
        "super()._own",
        "x.public()",
        "features._replace(tokens=None)",
        "os._exit(0)",
        "x.__class__ = y",
        "from __future__ import annotations",
        "cfg.model._target_",
        "OmegaConf.select(cfg, 'model._target_')",
        "name.endswith('_step')",
        "getattr(x, 'public')",
        "x.public = 1",
        "for x in _private: pass",
        "module.training = False",
    ],
)
def test_what_is_ours_or_documented_passes(line):
    tree = ast.parse(f"class Mine:\n    public = 1\n    def __init__(self):\n        self._own = 1\n{line}\n")
    assert not uses(tree, frozenset(defined(tree)))


# ── in their rooms they are asserted ────────────────────────────────────────────────────────────────────────────────


def asserted(tree: ast.Module) -> set[str]:
    """Names that a module hands to `require`, `assign` and their like."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    ours = (call for call in calls if ast.unparse(call.func) in ("require", "require_keys", "assign"))
    return {
        part.value
        for call in ours
        for argument in call.args
        for part in ast.walk(argument)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def unasserted(trees: list[ast.Module]) -> list[Use]:
    """Private names that modules use, or that classes in them override, and that none of the modules asserts."""
    known, inherited = set().union(*map(asserted, trees)), frozenset().union(*map(overridden, trees))
    ours = frozenset().union(*map(defined, trees)) - inherited
    found = [use for tree in trees for use in attributes(tree, ours) if use.name.rpartition(".")[2] not in known]
    return found + [use for tree in trees for use in bare_imports(tree)]


def overridden(tree: ast.Module) -> set[str]:
    """Names that are asked of `super`: a class has them besides those that it derives from."""
    asked = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call))
    return {node.attr for node in asked if is_own(node.value)}


def bare_imports(tree: ast.Module) -> list[Use]:
    """Private imports that are not made within `imported`, which names the version where one fails."""
    guarded = [
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and "imported(" in ast.unparse(node.items[0])
        for part in node.body
    ]
    inside = set(imports(ast.Module(guarded, [])))
    return [use for use in imports(tree) if use not in inside]


@pytest.mark.parametrize("room", ROOMS)
def test_every_private_name_of_a_room_is_asserted(room):
    mine = [tree for path, tree in trees().items() if path.relative_to(SOURCE).as_posix().startswith(room)]
    assert len(mine) > 1
    for group in [mine] if room == "config/hydra/" else [[tree] for tree in mine]:
        assert not unasserted(group)


def test_a_name_that_is_not_asserted_is_found():
    bad = ast.parse("require('lib', Kind, '_known')\nx._known\nx._new\nfrom lib._hidden import a\n")
    assert [use.name for use in unasserted([bad])] == ["x._new", "lib._hidden.a"]
    over = ast.parse("class Mine(Theirs):\n    def _theirs(self):\n        return super()._theirs()\n")
    assert [use.name for use in unasserted([over])] == ["super()._theirs"]
    good = ast.parse("require('lib', Kind, '_known')\nx._known\nwith imported('lib'):\n    from lib._hidden import a\n")
    assert not unasserted([good])


# ── methods of theirs that ours take the place of ───────────────────────────────────────────────────────────────────


def overriding(kind: type) -> list[str]:
    """Private members of a class of ours that a library's base class has as well."""
    theirs = [
        base for base in kind.__mro__[1:] if not base.__module__.startswith(("tunesmith.", "typing", "enum", "abc"))
    ]
    ours = [base for base in kind.__mro__ if re.match(r"tunesmith\.(?!compat\.)", base.__module__)]
    names = {name for base in ours for name in vars(base) if is_private(name) and not name.startswith("_abc_")}
    return sorted(name for name in names if any(name in vars(base) for base in theirs))


def with_bases_of_others() -> list[str]:
    """Modules in which a class has private methods and a base that is not ours; only these need be imported."""
    classes = {node.name for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    plain = classes | {"Protocol", "ABC", "NamedTuple", "TypedDict", "Enum"} | set(dir(builtins))
    return [
        ".".join(("tunesmith", *path.relative_to(SOURCE).with_suffix("").parts))
        for path, tree in trees().items()
        if not path.relative_to(SOURCE).as_posix().startswith(ROOMS)
        if any(
            isinstance(node, ast.ClassDef)
            and any(ast.unparse(base).rpartition(".")[2].partition("[")[0] not in plain for base in node.bases)
            and any(isinstance(part, ast.FunctionDef) and is_private(part.name) for part in node.body)
            for node in ast.walk(tree)
        )
    ]


def test_no_private_method_of_a_library_is_overridden():
    names = with_bases_of_others()
    assert "tunesmith.run.resume.last_checkpoint" in names
    for name in names:
        importlib.import_module(name)
    for name in names:
        for kind in vars(sys.modules[name]).values():
            if isinstance(kind, type) and kind.__module__ == name:
                assert not overriding(kind), f"{name}.{kind.__name__}"


def test_an_overridden_method_is_found():
    base = type("Base", (), {"_theirs": 1, "__module__": "lib"})
    assert overriding(type("Mine", (base,), {"_theirs": 2, "_own": 3, "__module__": "tunesmith.x"})) == ["_theirs"]
