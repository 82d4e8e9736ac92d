"""A library that has lost a name, and a module of ours that is imported with it."""

from __future__ import annotations

import inspect
import runpy
from importlib.metadata import version
from types import FunctionType, ModuleType
from typing import Any

import pytest

from tunesmith.errors import LibraryError


def require_refusal(patch: pytest.MonkeyPatch, module: ModuleType, library: str, owner: Any, name: str) -> None:
    """Check that a module of ours cannot be imported once a library lacks a name, and that it says so."""
    runpy.run_path(module.__file__)
    lose(patch, owner, name)
    with pytest.raises(LibraryError) as caught:
        runpy.run_path(module.__file__)
    said = str(caught.value)
    assert said.startswith(f"Expected a version of {library} that tunesmith knows but got {version(library)}: ")
    assert f"'{name}'" in said
    assert "\n" not in said


def lose(patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Take a name away from a module or a class; of a class also what its ``__init__`` gives to its objects."""
    found = False
    for place in owner.__mro__ if isinstance(owner, type) else [owner]:
        if name in vars(place):
            patch.delattr(place, name)
            found = True
        init = inspect.unwrap(vars(place).get("__init__")) if isinstance(owner, type) else None
        if inspect.isfunction(init) and name in init.__code__.co_names:
            patch.setattr(place, "__init__", _renaming(init, name))
            found = True
    assert found, f"the library has no {name} to lose"


def _renaming(function: FunctionType, name: str) -> FunctionType:
    """The function as it would be if an attribute that it sets had another name."""
    names = tuple(f"{known}_renamed" if known == name else known for known in function.__code__.co_names)
    code = function.__code__.replace(co_names=names)
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
