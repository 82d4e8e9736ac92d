"""Choose the command, read and check its configuration, and only then import its code."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith import STARTED, __version__
from tunesmith.config.check import present
from tunesmith.errors import ConfigError, StoppedError, TunesmithError, is_interruption, nearest, say
from tunesmith.signals import Stop

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

    from tunesmith.config.check.overrides import Prepared
    from tunesmith.config.gate import Trust
    from tunesmith.config.hydra.upstream import Hydra
    from tunesmith.run.session import Session


def main(started: float = STARTED) -> None:
    """Run the command line and exit.

    The exit code is 0 on success, 1 after a failure, 2 after a user error, 130 when interrupted and 143 when stopped by
    another signal. ``sys.argv`` is not modified: Lightning starts the other processes of a distributed run with it.

    Args:
        started: When the process started, by `time.monotonic`.
    """
    present.leave()
    stop = Stop()
    with stop.listening():
        code = _guarded(sys.argv[1:], stop, started)
    sys.exit(code)


def _guarded(argv: Sequence[str], stop: Stop, started: float) -> int:
    """Run a command line; turn errors into one sentence and an exit code."""
    try:
        code = command_line(argv, stop, started)
    except TunesmithError as error:
        code = say(error)
    except KeyboardInterrupt:
        code = _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `tunesmith … | head` succeeds
        code = 0
    except StoppedError as stopped:
        sys.stderr.write(f"\ntunesmith: {stopped}\n")
        # Lightning kills the first process of a distributed run if another one exits with a code.
        code = 0 if os.environ.get("LOCAL_RANK", "0") != "0" else int(str(stopped.code))
    except SystemExit as ended:
        if not is_interruption(ended):
            raise
        code = _interrupted()
    return code


def command_line(argv: Sequence[str], stop: Stop | None = None, started: float | None = None) -> int:
    """Run a command line.

    Args:
        argv: Arguments without the program's name.
        stop: Stop request that listens to signals.
        started: Start of the process by `time.monotonic`, if that was for this command.

    Returns:
        The exit code.

    Raises:
        TunesmithError: The command line or the configuration is wrong, or the run failed in a way the user can fix.
    """
    first, *rest = argv or ["--help"]
    if first == "--version" or "--version" in rest:
        print(f"tunesmith {__version__}")  # noqa: T201 - the output
    elif first in ("--help", "-h"):
        from tunesmith.config import help as pages

        pages.overview()
    elif first in ("--shell-completion", "-sc"):
        from tunesmith.config.completion import complete

        complete(" ".join(rest))
    else:
        from tunesmith.config import find

        find.require_command(first)
        return run_command(first, parse(rest), stop or Stop(), started)
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments after the command, including Hydra's flags.

    Raises:
        ConfigError: A flag is unknown, lacks its value, excludes another, or is not allowed.
    """
    from tunesmith.config.hydra.upstream import get_args_parser

    parser = get_args_parser()
    parser.exit_on_error = False
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="MODULE",
        help="Allow configurations to name classes of this module",
    )
    try:
        args, unknown = parser.parse_known_intermixed_args(list(argv))
    except argparse.ArgumentError as error:
        raise ConfigError(f"Expected valid flags but got an error: {error}.") from None
    if unknown:
        flags = re.findall(r"--[\w-]+", parser.format_usage())
        raise ConfigError([f"Expected a flag that exists but got '{u}'.{nearest(u, flags)}" for u in unknown])
    if args.experimental_rerun:
        raise ConfigError("Expected no --experimental-rerun but got it: it unpickles a file, which can run code.")
    if args.shell_completion:
        raise ConfigError("Expected --shell-completion before any command: tunesmith --shell-completion install=bash.")
    if args.run + args.multirun + bool(args.cfg) + bool(args.info) > 1:
        raise ConfigError("Expected at most one of --run, --multirun, --cfg and --info but got more.")
    if args.resolve and not args.cfg:
        raise ConfigError("Expected --resolve together with --cfg but got it alone.")
    return args


def run_command(command: str, args: argparse.Namespace, stop: Stop, started: float | None) -> int:
    """Compose and check a command's configuration, then show it or run it.

    Returns:
        The exit code.

    Raises:
        TunesmithError: The configuration is wrong.
    """
    from tunesmith.config import find, gate, positional
    from tunesmith.config.check import overrides
    from tunesmith.config.hydra import app
    from tunesmith.config.hydra.upstream import get_args_parser

    trust = gate.trust(args.allow)
    dirs = find.conf_dirs([args.config_dir] if args.config_dir else [], command)
    if args.config_path:
        path = Path(args.config_path).expanduser().resolve()
        dirs = [path if folder == find.package_conf() else folder for folder in dirs]
    # `sweep-yaml` writes what `train -m` would search; only its help is its own.
    written = command == "sweep-yaml" and not args.help
    root = args.config_name or ("train" if written else command)
    hydra = app.start(root, dirs, trust)
    if args.hydra_help:
        hydra.hydra_help(config_name=root, args_parser=get_args_parser(), args=args)
        return 0
    words = positional.with_keys(command, args.overrides)
    ready = prepare(hydra, root, words, dirs, args.multirun or written, trust)
    shows = args.help or args.cfg or args.info
    if not shows or ready.mistakes:
        overrides.examine(ready, root, dirs)
    if ready.mistakes:
        raise ConfigError([m.text for m in ready.mistakes])
    if shows:
        show(hydra, root, args, ready, dirs)
        return 0
    from tunesmith.run.jobs import Jobs
    from tunesmith.run.session import Session

    session = Session.read(trust, stop, started)
    if ready.sweep and "sweep" in ready.configs[0]:
        given = {"--config-dir": args.config_dir, "--config-path": args.config_path, "--config-name": args.config_name}
        flags = [word for flag, value in given.items() if value for word in (flag, value)]
        return search(
            command, [*flags, *(f"--allow={name}" for name in args.allow)], ready, hydra.config_loader, session
        )
    jobs = Jobs(command, ready.sweep, dirs, lambda: app.describe_job(hydra, root), session)
    app.run(hydra, root, ready.overrides, jobs, ready.sweep)
    return jobs.code


def search(command: str, flags: Sequence[str], ready: Prepared, loader: ConfigLoader, session: Session) -> int:
    """Run the jobs of a sweep, or print it for W&B (``sweep-yaml``); return the exit code."""
    if command == "sweep-yaml":
        from tunesmith.sweep.sweep_yaml import sweep_yaml

        print(sweep_yaml(flags, ready.overrides, ready.configs, loader), end="")  # noqa: T201 - the output
        return 0
    from tunesmith.sweep.sweep import sweep

    return sweep(command, flags, ready.overrides, ready.configs, loader, session)


def prepare(
    hydra: Hydra, root: str, words: Sequence[str], dirs: Sequence[Path], multirun: bool, trust: Trust
) -> Prepared:
    """Read the overrides of a command line, in a sweep including those of its preset."""
    from tunesmith.config import renamed
    from tunesmith.config.check import overrides

    words = renamed.typed(words)
    ready = overrides.prepare(hydra, root, words, dirs, multirun, trust)
    if ready.sweep and ready.configs and not ready.mistakes:
        from tunesmith.sweep.search.space import with_params

        more = with_params(words, ready.configs[0])
        if more != list(words):
            return overrides.prepare(hydra, root, more, dirs, multirun, trust)
    return ready


def show(hydra: Hydra, command: str, args: argparse.Namespace, ready: Prepared, dirs: Sequence[Path]) -> None:
    """Answer ``--help``, ``--cfg`` or ``--info``."""
    from tunesmith.config import help as pages
    from tunesmith.config.hydra import app

    with app.translated():
        if args.help:
            pages.page(hydra, command, ready.choices, dirs)
        elif args.cfg:
            hydra.show_cfg(command, ready.overrides, args.cfg, args.package, args.resolve)
        else:
            hydra.show_info(args.info, command, ready.overrides)


def _interrupted() -> int:
    sys.stderr.write("\ntunesmith: interrupted\n")
    return 130


if __name__ == "__main__":
    main()
