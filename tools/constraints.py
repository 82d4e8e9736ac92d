"""Write the versions that are installed beside this Python as constraints: names and versions, nothing else.

`make constraints` runs it in a fresh environment that was resolved without constraints. A package whose version needs a
newer Python than tunesmith does is left free below that Python: what dropped a Python has no new releases for it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions, metadata

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = "tunesmith"
BY_MINOR = ("torch", "torchvision")
"""Bounded by their minor version, since pip's configuration on a machine may choose among its builds and patches."""

LEFT_OUT = re.compile(r"tunesmith|pip|setuptools|(nvidia|cuda)-.*|triton")
"""The project, what builds it, and what torch chooses for its own build."""

PYTHONS = [Version(f"3.{minor}") for minor in range(10, 30)]


def lines() -> Iterator[str]:
    """Give one constraint per package, sorted by name."""
    least = oldest(metadata(PROJECT)["Requires-Python"])
    found = {canonicalize_name(each.metadata["Name"]): each for each in distributions()}
    for name in sorted(found):
        if not LEFT_OUT.fullmatch(name):
            needed = oldest(found[name].metadata["Requires-Python"])
            yield constraint(name, found[name]) + (f'; python_version >= "{needed}"' if needed > least else "")


def constraint(name: str, distribution: Distribution) -> str:
    """Pin a package, without the label of a local build."""
    version = Version(distribution.version)
    if name in BY_MINOR:
        return f"{name}>={version.major}.{version.minor},<{version.major}.{version.minor + 1}"
    return f"{name}=={version.public}"


def oldest(specifier: str | None) -> Version:
    """Find the oldest Python that a package's metadata admits."""
    return next(python for python in PYTHONS if SpecifierSet(specifier or "").contains(f"{python}.99"))


if __name__ == "__main__":
    print(f"# Tested versions, written by `make constraints` with Python {sys.version_info[0]}.{sys.version_info[1]}.")
    print(*lines(), sep="\n")
