"""The errors a user can meet, each one clear sentence and a way out.

TunesmithError            printed as one sentence, exit code 2, never a traceback
├── ConfigError           the configuration is wrong: every mistake at once, with the nearest valid names
├── DataError             a file, a label or a split is not what was expected
├── WeightsError          pretrained weights are missing, or do not fit the model
├── PolicyError           a selector matches nothing, or a rate table has no effect
├── RunError              a run folder is missing, incomplete or altered
└── MissingExtraError     an optional dependency is not installed
"""

from __future__ import annotations

import difflib
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


class DataError(TunesmithError):
    """The data cannot be used as asked."""


class WeightsError(TunesmithError):
    """Weights cannot be found, read or matched to the model."""


class PolicyError(TunesmithError):
    """A freeze policy or a rate rule does not fit the model."""


class RunError(TunesmithError):
    """A run folder cannot be used."""


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


def is_interruption(error: BaseException | None) -> bool:
    """Whether an exception means that somebody stopped the process: Ctrl-C, or a signal that Lightning turned into one.

    Lightning ends a fit that was interrupted by `SystemExit`, and raises a `SystemExit` of its own at SIGTERM.
    """
    if isinstance(error, SystemExit):
        return isinstance(error.__context__, KeyboardInterrupt) or is_termination(error)
    return isinstance(error, KeyboardInterrupt)


def is_termination(error: BaseException) -> bool:
    """Whether an exception is Lightning's for SIGTERM; by name, so that Lightning need not be imported."""
    return type(error).__name__ == "SIGTERMException"


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
