"""Fails a test for a warning of our own code or calls; counts those of libraries, and lists them at the end of the run.

A warning is ours where Python attributes it to one of our files, which is what `stacklevel` is for. Not every library
sets it, so a deprecation is ours as well where our code called the function that warns, or a wrapper around it.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

DEPRECATIONS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
WARNERS = ("warnings", "_py_warnings", "contextlib", "functools", "torch.utils._contextlib", "torch.nn.modules.module")
"""Modules that stand between a warning and its call: Python's own, and wrappers of any function."""

DEPTH = 6
"""Frames of a library between a deprecated function and our call; deeper inside, it is the library's own business."""


class WarningPolicy:
    """Judges each warning where it is raised.

    Args:
        folders: Those of our code.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = tuple(f"{folder.resolve()}/" for folder in folders)
        self.counts: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True, trylast=True)  # within pytest's own wrapper, which records warnings
    def pytest_collection(self) -> Generator[None, Any, Any]:
        with self._judging():
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        with self._judging():
            return (yield)

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        parts = Path(warning_message.filename).with_suffix("").parts
        library = parts[parts.index("site-packages") + 1] if "site-packages" in parts else parts[-1]
        text = re.sub(r"\d+", "N", " ".join(str(warning_message.message).split()))
        self.counts[f"{library}: {warning_message.category.__name__}: {text[:200]}"] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.counts:
            terminalreporter.section("warnings of libraries")
        for text, count in self.counts.most_common():
            terminalreporter.line(f"{count:5} × {text}")

    @contextmanager
    def _judging(self) -> Iterator[None]:
        show = warnings.showwarning

        def judge(message: Warning, category: type[Warning], filename: str, *rest: Any) -> None:
            if self._is_ours(filename) or (issubclass(category, DEPRECATIONS) and self._is_our_call(sys._getframe(1))):
                raise message
            show(message, category, filename, *rest)

        warnings.showwarning = judge
        try:
            yield
        finally:
            warnings.showwarning = show

    def _is_ours(self, filename: str) -> bool:
        return filename.startswith(self.folders)

    def _is_our_call(self, frame: FrameType | None) -> bool:
        """Whether the nearest frame outside the library that warns is ours."""
        library = None
        for _ in range(DEPTH):
            while frame is not None and _module(frame) in WARNERS:
                frame = frame.f_back
            if frame is None or self._is_ours(frame.f_code.co_filename):
                return frame is not None
            top = _module(frame).partition(".")[0]
            if top != (library or top):
                return False
            library, frame = top, frame.f_back
        return False


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
