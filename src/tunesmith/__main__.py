"""Choose the command, read and check its configuration, and only then import what runs it."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import __version__, signals
from tunesmith.errors import ConfigError, StoppedError, TunesmithError, is_interruption, nearest

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

    from tunesmith.config.check.overrides import Prepared
    from tunesmith.config.hydra.upstream import Hydra


def main() -> None:
    """Run the command line and exit.

    The code is 0 where all went well, 1 after a failure, 2 after a mistake that one sentence explains, 130 when
    interrupted and 143 when asked to stop by another signal.

    ``sys.argv`` is left as it is: Lightning starts the other processes of a distributed run with the same one.
    """
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # a user's own backbone or dataset; last, so that it shadows nothing
    with signals.listening():
        code = _guarded(sys.argv[1:])
    sys.exit(code)


def _guarded(argv: Sequence[str]) -> int:
    """Run a command line; what can go wrong is told in a sentence, and becomes an exit code."""
    try:
        code = command_line(argv)
    except TunesmithError as error:
        code = say(error)
    except KeyboardInterrupt:
        code = _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `tunesmith … | head` is no failure
        code = 0
    except StoppedError as stopped:
        sys.stderr.write(f"\ntunesmith: {stopped}\n")
        # Lightning kills the first process of a distributed run when another one ends with a code.
        code = 0 if os.environ.get("LOCAL_RANK", "0") != "0" else int(str(stopped.code))
    except SystemExit as ended:
        if not is_interruption(ended):
            raise
        code = _interrupted()
    return code


def command_line(argv: Sequence[str]) -> int:
    """Run what a command line asks for.

    Args:
        argv: Without the program's name.

    Returns:
        The exit code.

    Raises:
        TunesmithError: The command line or the configuration is wrong, or the run met an error that the user can mend.
    """
    first, *rest = argv or ["--help"]
    if first == "--version" or "--version" in rest:
        print(f"tunesmith {__version__}")  # noqa: T201 - what was asked for
    elif first in ("--help", "-h"):
        from tunesmith.config import help as pages

        pages.overview()
    elif first in ("--shell-completion", "-sc"):
        from tunesmith.config.completion import complete

        complete(" ".join(rest))
    else:
        from tunesmith.config import find

        find.require_command(first)
        return run_command(first, parse(rest))
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse what follows the command, with Hydra's own flags.

    Raises:
        ConfigError: A flag is unknown, lacks its value, excludes another, or is refused.
    """
    from tunesmith.config.hydra.upstream import get_args_parser

    parser = get_args_parser()
    parser.exit_on_error = False
    parser.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="Let configurations name classes of this module"
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


def run_command(command: str, args: argparse.Namespace) -> int:
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

    gate.allow(args.allow)
    dirs = find.conf_dirs([args.config_dir] if args.config_dir else [])
    if args.config_path:
        dirs = [*dirs[:-1], Path(args.config_path).expanduser().resolve()]
    # What is written for W&B is what `train -m` would search; only its help is its own.
    written = command == "sweep-yaml" and not args.help
    root = args.config_name or ("train" if written else command)
    hydra = app.start(root, dirs)
    if args.hydra_help:
        hydra.hydra_help(config_name=root, args_parser=get_args_parser(), args=args)
        return 0
    ready = prepare(hydra, root, positional.with_keys(command, args.overrides), dirs, args.multirun or written)
    shows = args.help or args.cfg or args.info
    if not shows or ready.mistakes:
        overrides.examine(ready, root, dirs)
    if ready.mistakes:
        raise ConfigError([m.text for m in ready.mistakes])
    if shows:
        show(hydra, root, args, ready, dirs)
        return 0
    if ready.sweep and "sweep" in ready.configs[0]:
        given = {"--config-dir": args.config_dir, "--config-path": args.config_path, "--config-name": args.config_name}
        flags = [word for flag, value in given.items() if value for word in (flag, value)]
        return search(command, flags, ready, hydra.config_loader)
    jobs = Jobs(command, ready.sweep, dirs, lambda: app.describe_job(hydra, root))
    app.run(hydra, root, ready.overrides, jobs, ready.sweep)
    return jobs.code


def search(command: str, flags: Sequence[str], ready: Prepared, loader: ConfigLoader) -> int:
    """Run the jobs of a sweep, or with ``sweep-yaml`` write it for W&B; gives the exit code."""
    if command == "sweep-yaml":
        from tunesmith.sweep.sweep_yaml import sweep_yaml

        print(sweep_yaml(flags, ready.overrides, ready.configs, loader), end="")  # noqa: T201 - what was asked for
        return 0
    from tunesmith.sweep.sweep import sweep

    return sweep(command, flags, ready.overrides, ready.configs, loader)


def prepare(hydra: Hydra, root: str, words: Sequence[str], dirs: Sequence[Path], multirun: bool) -> Prepared:
    """Read the overrides of a command line, and in a sweep those that its preset searches."""
    from tunesmith.config.check import overrides

    ready = overrides.prepare(hydra, root, words, dirs, multirun)
    if ready.sweep and ready.configs and not ready.mistakes:
        from tunesmith.sweep.search.space import with_params

        more = with_params(words, ready.configs[0])
        if more != list(words):
            return overrides.prepare(hydra, root, more, dirs, multirun)
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


class Jobs:
    """What Hydra calls for each job: it checks the configuration, runs the command, and keeps the exit code.

    Args:
        command: The command.
        sweep: Whether a job that fails lets the others go on.
        dirs: Folders of configurations.
        describe: Completes Hydra's description of the present job.

    Attributes:
        code: 0 where every job ended well, 2 where all failures were mistakes of the user's, else 1.
    """

    def __init__(self, command: str, sweep: bool, dirs: Sequence[Path], describe: Callable[[], None]) -> None:
        self.command = command
        self.sweep = sweep
        self.dirs = dirs
        self.describe = describe
        self.code = 0

    def __call__(self, cfg: DictConfig) -> Any:
        """Run one job; its error is printed at once, so that a sweep shows it before it goes on."""
        from hydra.core.hydra_config import HydraConfig

        from tunesmith.config.redact import redact_text

        if self.sweep:
            job = HydraConfig.get()
            sys.stderr.write(f"tunesmith: job {job.job.num}: {' '.join(job.overrides.task)}\n")
        try:
            return self.run(cfg)
        except TunesmithError as error:
            code = say(error)
            self.code = self.code or code
        except Exception:
            sys.stderr.write(redact_text(traceback.format_exc()))  # a sweep keeps what its jobs print
            self.code = 1
        return None

    def run(self, cfg: DictConfig) -> Any:
        """Check the present job's configuration and run it.

        Raises:
            ConfigError: It does not hold.
            RunError: Nothing can be written where it will write.
        """
        from tunesmith.config import find, output
        from tunesmith.config.check.check import mistakes
        from tunesmith.config.hydra import app

        self.describe()
        cfg = app.settled(cfg)
        found = mistakes(cfg, self.command, find.group_names(self.dirs))
        if found:
            raise ConfigError([m.text for m in found])
        output.check_output(cfg, self.command)
        return entry(self.command)(app.alone(cfg))


def entry(command: str) -> Callable[[DictConfig], Any]:
    """The function that runs a command: it lies in a file of its name, in the room of its name or else in ``run``."""
    find = importlib.util.find_spec
    room = command if find(f"tunesmith.{command}") and find(f"tunesmith.{command}.{command}") else "run"
    found: Callable[[DictConfig], Any] = getattr(importlib.import_module(f"tunesmith.{room}.{command}"), command)
    return found


def say(error: TunesmithError) -> int:
    """Print an error, a line for each mistake, and give its exit code."""
    lines = error.mistakes if isinstance(error, ConfigError) else [" ".join(str(error).split())]
    sys.stderr.write("".join(f"tunesmith: {line}\n" for line in lines))
    return 2


def _interrupted() -> int:
    sys.stderr.write("\ntunesmith: interrupted\n")
    return 130


if __name__ == "__main__":
    main()
