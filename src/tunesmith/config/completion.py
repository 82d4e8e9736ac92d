"""Complete commands in the shell; Hydra's plugins complete the words after them."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence

from tunesmith.config import find
from tunesmith.config.hydra import app
from tunesmith.config.hydra.upstream import Hydra
from tunesmith.errors import ConfigError, nearest

SHELLS = ("bash", "fish", "zsh")


def complete(request: str) -> None:
    """Handle ``--shell-completion <request>``.

    Args:
        request: ``install=bash``, ``uninstall=bash`` or, from the script that these print, ``query=bash``.

    Raises:
        ConfigError: The request is none of these.
    """
    action, _, shell = request.partition("=")
    if action not in ("install", "uninstall", "query") or shell not in SHELLS:
        valid = [f"install={s}" for s in SHELLS]
        text = f"Expected --shell-completion to be followed by a request but got '{request}'."
        raise ConfigError(text + nearest("", valid))
    if action == "query":
        _query(shell)
    else:
        _application("train").shell_completion(config_name="train", overrides=[request])


def _application(command: str, config_dirs: Sequence[str] = ()) -> Hydra:
    return app.start(command, find.conf_dirs(config_dirs))


def _query(shell: str) -> None:
    """Print the completions of the line ``COMP_LINE``; an invalid line has none."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    typing_command = len(words) < 2 or (len(words) == 2 and not line[-1:].isspace())
    if typing_command:
        begun = words[1] if len(words) > 1 else ""
        print(*(c for c in [*find.commands(), "--help", "--version"] if c.startswith(begun)), sep="\n")  # noqa: T201 - the shell reads it
        return
    command = words[1]
    if command not in find.commands():
        return
    os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]]) + (" " if line[-1:].isspace() else "")
    out = io.StringIO()
    with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stdout(out), _silent():
        _application(command).shell_completion(config_name=command, overrides=[f"query={shell}"])
    print(out.getvalue(), end="")  # noqa: T201 - the shell reads it


def _silent() -> contextlib.AbstractContextManager[object]:
    return contextlib.redirect_stderr(io.StringIO())
