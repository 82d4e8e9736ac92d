"""The errors a user can meet, each one clear sentence and a way out.

TunesmithError            printed as one sentence, exit code 2, never a traceback
├── ConfigError           the configuration is wrong: every mistake at once, with the nearest valid names
├── DataError             a file, a label or a split is not what was expected
├── WeightsError          pretrained weights are missing, or do not fit the model
├── PolicyError           a selector matches nothing, or a rate table has no effect
├── RunError              a run folder is missing, incomplete or altered
│   └── NonFiniteError    a loss or a weight is NaN or infinite
├── MissingExtraError     an optional dependency is not installed
└── LibraryError          an installed library lacks a name that tunesmith uses of it
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence


class TunesmithError(Exception):
    """An error that the user can mend: printed as one sentence, without a traceback."""


class ConfigError(TunesmithError):
    """The configuration cannot be used.

    Args:
        mistakes: One sentence a mistake; all of them are shown together.
    """

    def __init__(self, mistakes: str | Sequence[str]) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__("\n".join(self.mistakes))


def raise_together(mistakes: Iterable[str]) -> None:
    """Raise one `ConfigError` that shows all mistakes; do nothing where there are none.

    Args:
        mistakes: One sentence per mistake.
    """
    found = list(mistakes)
    if found:
        raise ConfigError(found)


class DataError(TunesmithError):
    """The data cannot be used as asked."""


class WeightsError(TunesmithError):
    """Weights cannot be found, read or matched to the model."""


class PolicyError(TunesmithError):
    """A freeze policy or a rate rule does not fit the model."""


class RunError(TunesmithError):
    """A run folder cannot be used."""


class NonFiniteError(RunError):
    """A loss or a weight is NaN or infinite.

    Attributes:
        retry: Number of the try that may follow, at lower rates; ``None`` where there is none.
    """

    retry: int | None = None


class MissingExtraError(TunesmithError):
    """An optional dependency is not installed.

    Args:
        package: The name that could not be imported.
        extra: The extra of tunesmith that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"Expected the package '{package}' to be installed: pip install 'tunesmith[{extra}]' brings it."
        )


class LibraryError(TunesmithError):
    """An installed library lacks a name that tunesmith uses of it, since its version is not known yet.

    Args:
        library: Its name as it is installed.
        version: The version that is installed.
        reason: What it lacks.
    """

    def __init__(self, library: str, version: str, reason: str) -> None:
        super().__init__(
            f"Expected a version of {library} that tunesmith knows but got {version}: {reason}; "
            f"install another version of {library}, or a newer tunesmith."
        )


class StoppedError(SystemExit):
    """A signal asked the process to stop; left alone it ends it with the code that such a signal is known by.

    Args:
        signal: Its name, such as ``SIGTERM``.
    """

    def __init__(self, signal: str) -> None:
        super().__init__(130 if signal == "SIGINT" else 143)
        self.signal = signal

    def __str__(self) -> str:
        return "interrupted" if self.signal == "SIGINT" else f"stopped by {self.signal}"


def is_interruption(error: BaseException | None) -> bool:
    """Whether an exception means that somebody stopped the process: Ctrl-C, or another signal.

    Where tunesmith does not listen to signals, as in a notebook, Lightning ends a fit that was interrupted by
    `SystemExit`, and raises a `SystemExit` of its own at SIGTERM; by name, so that Lightning need not be imported.
    """
    if isinstance(error, SystemExit):
        by_lightning = isinstance(error.__context__, KeyboardInterrupt) or type(error).__name__ == "SIGTERMException"
        return isinstance(error, StoppedError) or by_lightning
    return isinstance(error, KeyboardInterrupt)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which valid names come nearest, as the end of an error sentence.

    Args:
        name: What the user wrote.
        valid: The names that would have been right.

    Returns:
        ``" Did you mean 'x'?"`` where something is near, else the valid names, else an empty string.
    """
    names = sorted(set(valid))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return " Did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    return f" Valid here: {', '.join(names)}." if names else ""


_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"}
_CONTROLS |= {127: "\N{SYMBOL FOR DELETE}", **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}")}


def visible(text: str) -> str:
    """Return a text whose control characters a terminal shows instead of obeying them; lines and tabs stay."""
    return text.translate(_CONTROLS)


def say(error: TunesmithError) -> int:
    """Print an error, a line for each mistake, and give its exit code."""
    lines = error.mistakes if isinstance(error, ConfigError) else [" ".join(str(error).split())]
    sys.stderr.write("".join(f"tunesmith: {visible(line)}\n" for line in lines))
    return 2
