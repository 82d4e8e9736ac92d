"""Read files of a run, a sweep or a cache that may come from anywhere: regular files only, bounded, of one shape."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from tunesmith.errors import RunError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

MOST = 64 << 20
"""Bytes of a JSON file; the largest that is written here, a run.json with every metric, has some megabytes."""

DEPTH = 64
"""Levels of a JSON file."""


def read_bytes(path: Path, most: int = MOST) -> bytes:
    """Read a whole file.

    Args:
        path: A regular file; a link to one is followed.
        most: Bytes to read at most.

    Raises:
        OSError: It cannot be read, is not a regular file, or holds more.
    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"it has more than {most:,} bytes")
    return content


def opened(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # opening a FIFO would wait for a writer
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is not a regular file")
    return os.fdopen(handle, "rb")


def read_json(path: Path, kind: type[T], most: int = MOST) -> T:
    """Read a JSON file of a known shape.

    Args:
        path: The file.
        kind: The `TypedDict`, or another annotation, that its content has; further keys are kept.
        most: Bytes to read at most.

    Raises:
        RunError: It cannot be read, is not JSON, or has another shape.
    """
    try:
        plain = _parsed(read_bytes(path, most))
    except (OSError, ValueError) as error:
        raise RunError(f"Expected {path} to be a JSON file but got: {said(error)}.") from None
    return of_file(path, plain, kind)


def of_file(path: Path, value: object, kind: type[T]) -> T:
    """Return the content of a file if it has a shape.

    Raises:
        RunError: It has another.
    """
    try:
        return shaped(value, kind)
    except ValueError as error:
        raise RunError(f"Expected {path} to be as tunesmith writes it but got {error}.") from None


def line(content: bytes, kind: type[T]) -> T:
    """Read one line of a file of JSON lines.

    Raises:
        ValueError: It is not JSON, or has another shape.
    """
    return shaped(_parsed(content), kind)


def shaped(value: object, kind: type[T]) -> T:
    """Return a plain value if it has a shape.

    Raises:
        ValueError: It has another; the message says where.
    """
    from pydantic import ValidationError

    annotation: Any = kind
    try:
        _validator(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg'].lower()}") from None
    found: T = value  # type: ignore[assignment]  # as was just checked
    return found


def said(error: Exception) -> str:
    """Return what an error of reading says, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".")


@cache
def _validator(kind: Any) -> TypeAdapter[object]:  # whatever pydantic takes
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _parsed(content: bytes) -> object:
    try:
        found: object = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"it has more than {DEPTH} levels") from None
    level = [found]
    for _ in range(DEPTH):
        level = [item for value in level for item in _items(value)]
    if level:
        raise ValueError(f"it has more than {DEPTH} levels")
    return found


def _items(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
