"""Check that libraries still have the private names that we use.

Each module of this package checks its library on import, so that an untested version fails with one sentence before
anything is trained. Instance attributes are checked before assignment, since Python would silently create a new one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TypeVar

from tunesmith.errors import LibraryError

T = TypeVar("T")


def require(library: str, owner: object, *names: str) -> None:
    """Check that a module, a class or an object has attributes.

    Args:
        library: Name of its distribution.
        owner: For a class, attributes that its ``__init__`` sets count too.
        *names: Names of the attributes.

    Raises:
        LibraryError: An attribute is missing.
    """
    for name in names:
        if not hasattr(owner, name) and not (isinstance(owner, type) and _init_mentions(owner, name)):
            raise _unknown(library, f"{_said(owner)} has no '{name}'")


def require_keys(library: str, what: str, mapping: Mapping[str, object], *keys: str) -> None:
    """Check that a library's mapping has keys.

    Args:
        library: Name of its distribution.
        what: Name of the mapping in the error.
        mapping: The mapping.
        *keys: The keys.

    Raises:
        LibraryError: A key is missing.
    """
    for key in keys:
        if key not in mapping:
            raise _unknown(library, f"{what} has no '{key}'")


def assign(library: str, owner: object, name: str, value: object) -> None:
    """Set an attribute that a library's object must already have.

    Raises:
        LibraryError: The attribute is missing.
    """
    require(library, owner, name)
    setattr(owner, name, value)


def update(library: str, what: str, mapping: MutableMapping[str, T], **values: T) -> None:
    """Set items that a library's mapping must already have.

    Raises:
        LibraryError: A key is missing.
    """
    require_keys(library, what, mapping, *values)
    mapping.update(values)


@contextmanager
def imported(library: str) -> Iterator[None]:
    """Name the installed version of a library whose private names cannot be imported.

    Raises:
        LibraryError: An import in the body fails.
    """
    try:
        yield
    except ImportError as error:
        raise _unknown(library, str(error).partition(" (")[0]) from error


def _unknown(library: str, reason: str) -> LibraryError:
    from importlib.metadata import version  # slow to import, and needed only here

    return LibraryError(library, version(library), reason)


def _init_mentions(kind: type, name: str) -> bool:
    """Return whether ``__init__`` of a class or of one of its bases uses an attribute of that name."""
    made = (inspect.unwrap(vars(base)["__init__"]) for base in inspect.getmro(kind) if "__init__" in vars(base))
    return any(name in init.__code__.co_names for init in made if inspect.isfunction(init))


def _said(owner: object) -> str:
    if isinstance(owner, type) or inspect.ismodule(owner):
        return owner.__name__
    return type(owner).__name__
