"""Check that libraries still have the names that we use of them although they do not promise to keep them.

A module of this package checks its library's when it is imported, so that a version that nobody has tried yet ends in
one sentence, before anything is trained. An attribute that only an object has is looked for before it is assigned:
Python would make a new one, which nobody reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from tunesmith.errors import LibraryError


def require(library: str, owner: object, *names: str) -> None:
    """Check that a module, a class or another object has attributes.

    Args:
        library: Its library, by the name that it is installed under.
        owner: Of a class, what its ``__init__`` gives to its objects counts too.
        *names: Of the attributes.

    Raises:
        LibraryError: One is missing.
    """
    for name in names:
        if not hasattr(owner, name) and not (isinstance(owner, type) and _init_mentions(owner, name)):
            raise _unknown(library, f"{_said(owner)} has no '{name}'")


def require_keys(library: str, what: str, mapping: Mapping[str, Any], *keys: str) -> None:
    """Check that a mapping of a library's has keys.

    Args:
        library: By the name that it is installed under.
        what: The mapping, as the error is to call it.
        mapping: The mapping.
        *keys: The keys.

    Raises:
        LibraryError: One is missing.
    """
    for key in keys:
        if key not in mapping:
            raise _unknown(library, f"{what} has no '{key}'")


def assign(library: str, owner: object, name: str, value: object) -> None:
    """Set an attribute that a library's object must have already.

    Raises:
        LibraryError: It has none of that name.
    """
    require(library, owner, name)
    setattr(owner, name, value)


def update(library: str, what: str, mapping: MutableMapping[str, Any], **values: Any) -> None:
    """Set items that a library's mapping must have already.

    Raises:
        LibraryError: It has none of that key.
    """
    require_keys(library, what, mapping, *values)
    mapping.update(values)


@contextmanager
def imported(library: str) -> Iterator[None]:
    """Say which version of an installed library it is whose private modules or names cannot be imported.

    Raises:
        LibraryError: An import in the body fails.
    """
    try:
        yield
    except ImportError as error:
        raise _unknown(library, str(error).partition(" (")[0]) from error


def _unknown(library: str, reason: str) -> LibraryError:
    from importlib.metadata import version  # nobody waits for it where all is well

    return LibraryError(library, version(library), reason)


def _init_mentions(kind: type, name: str) -> bool:
    """Whether ``__init__`` of a class, or of one that it derives from, uses an attribute of that name."""
    made = (inspect.unwrap(vars(base)["__init__"]) for base in inspect.getmro(kind) if "__init__" in vars(base))
    return any(name in init.__code__.co_names for init in made if inspect.isfunction(init))


def _said(owner: object) -> str:
    if isinstance(owner, type) or inspect.ismodule(owner):
        return owner.__name__
    return type(owner).__name__
