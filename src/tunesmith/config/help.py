"""Print the pages of `tunesmith` and `tunesmith <command> --help`, as plain text so that they appear at once."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hydra.core.object_type import ObjectType

from tunesmith import __version__
from tunesmith.config import find, positional
from tunesmith.config.hydra.upstream import Hydra

Rows = Iterable[tuple[str, str]]

EXAMPLES: Mapping[str, Rows] = {
    "train": (
        ("tunesmith train", "generated data, a tiny model: 15 seconds"),
        ("tunesmith train experiment=digits", "a named experiment"),
        ("tunesmith train data=image_folder data.root=~/flowers backbone=timm", "your own images"),
        ("tunesmith train -m policy=linear_probe,full seed=range(0,3)", "six runs"),
    ),
    "evaluate": (
        ("tunesmith evaluate run=logs/digits/<run>", "on the test split"),
        ("tunesmith evaluate run=logs/digits/<run> split=val", "on another"),
    ),
    "predict": (
        ("tunesmith predict run=logs/digits/<run> input=photos/", "a folder"),
        ("tunesmith predict run=logs/digits/<run> input=list.csv output=labels.parquet", "the files of a table"),
        (
            "tunesmith predict run=logs/reviews/<run> 'input=a film to remember'",
            "a text, where it was trained on texts",
        ),
    ),
    "export": (
        ("tunesmith export run=logs/digits/<run>", "model.safetensors and model.json"),
        ("tunesmith train backbone.weights=model.safetensors", "begin another run with it"),
    ),
    "compare": (
        ("tunesmith compare logs/digits", "all runs below a folder, by the metric that they monitor"),
        ("tunesmith compare logs/a 'logs/b/2026-*' metric=macro_f1", "several folders and globs, by another metric"),
        ("tunesmith compare logs/digits output=[table.csv,report.html] plots=plots", "as files"),
    ),
    "check": (
        ("tunesmith check data.root=photos", "a folder of images, one folder a class"),
        ("tunesmith check data=image_table data.file=images.csv max_duplicates=0", "fail where there are copies"),
        ("tunesmith check data.root=photos predictions=logs/folds", "suspected labels, by a cross-validation"),
    ),
    "command": (("tunesmith command run=logs/digits/<run>", "what to type to run it again"),),
    "cache": (
        ("tunesmith cache", "what is kept, how large it is, and when it was last used"),
        ("tunesmith cache action=prune unused_days=30", "remove what no run has used for a month"),
        ("tunesmith cache action=prune max_gb=10", "remove what was used longest ago"),
    ),
}

OVERRIDES = (
    ("group=option", "choose an option of a group"),
    ("group=[one,two]", "several at once, where the default is a list"),
    ("group.key=value", "set an argument, also one that the YAML does not list"),
    ("~group.key", "leave it out"),
)

SWEEPS = (
    ("-m seed=0,1,2", "one job for each value"),
    ("-m seed=range(0,3)", "the same"),
    ("-m policy=glob(*)", "one job for each option of a group"),
    ("-m policy=full,linear_probe seed=0,1", "one job for each combination"),
)

FLAGS = (
    ("--cfg job", "show the configuration that the overrides make, and stop (--resolve fills in references)"),
    ("--info defaults-tree", "show which file each part comes from (also searchpath, config, defaults, plugins, all)"),
    ("--config-dir <folder>", "look for configurations there first; ./conf comes next, tunesmith's own last"),
    ("--allow <module>", "let configurations name its classes; also TUNESMITH_ALLOW, or allow: in your settings.yaml"),
    ("--hydra-help", "the flags that Hydra brings"),
)


def overview() -> None:
    """Print the commands, one line each."""
    _print(f"tunesmith {__version__}: fine-tune pretrained models as composed, reproducible experiments.\n")
    _print("Usage: tunesmith <command> [-m] [group=option …] [key=value …]\n")
    _section("Commands", ((f"tunesmith {name}", text) for name, text in find.commands().items()))
    _section(
        "More",
        (
            ("tunesmith train --help", "groups, options and examples of a command"),
            ('eval "$(tunesmith --shell-completion install=bash)"', "completion of everything by the Tab key"),
        ),
    )


def page(hydra: Hydra, command: str, choices: Mapping[str, object], dirs: Sequence[Path]) -> None:
    """Print a command's page.

    Args:
        hydra: Hydra's application, which knows all options.
        command: The command.
        choices: Composed option of each group.
        dirs: Folders of configurations.
    """
    root = next(d / f"{command}.yaml" for d in dirs if (d / f"{command}.yaml").is_file())
    text = root.read_text(encoding="utf-8")
    _print(f"tunesmith {command}: {find.headline(root)}\n")
    words = f"<{positional.KEYS[command]} …>" if command in positional.KEYS else "[-m] [group=option …]"
    _print(f"Usage: tunesmith {command} {words} [key=value …]\n")
    groups = list(_groups(hydra, choices, text))
    _section("Groups (* is the present choice)", groups)
    _section("Keys", _root_keys(text))
    _section("Overrides", OVERRIDES if groups else ())
    _section("Sweeps", SWEEPS if command == "train" else ())
    _section("Examples", EXAMPLES.get(command, ()))
    _section("More", FLAGS)


def _groups(hydra: Hydra, choices: Mapping[str, object], root: str) -> Iterator[tuple[str, str]]:
    listed = dict(re.findall(r"^  - (\w+): \[(.*)\]", root, re.MULTILINE))  # Hydra's choices leave out lists
    for group in sorted({g for g in choices if not g.startswith("hydra/")} | set(listed)):
        present = re.split(r",\s*", listed.get(group, "")) if group not in choices else [choices[group]]
        options = hydra.config_loader.get_group_options(group, ObjectType.CONFIG)
        if options and group != "paths":
            yield group, ", ".join(f"*{o}" if o in present else o for o in options)


def _root_keys(root: str) -> Iterator[tuple[str, str]]:
    """Yield the root file's own keys, with the comment behind each."""
    for match in re.finditer(r"^(\w+):[ ]*([^#\n]+?)[ ]*(?:#[ ]*(.*))?$", root, re.MULTILINE):
        yield f"{match[1]}={match[2]}".replace("???", "…"), match[3] or ""


def _section(title: str, rows: Rows) -> None:
    listed = list(rows)
    if not listed:
        return
    width = shutil.get_terminal_size((120, 24)).columns
    left = max(len(name) for name, _ in listed) + 4
    _print(f"\033[1m{title}\033[0m" if sys.stdout.isatty() else title)
    for name, text in listed:
        lines = textwrap.wrap(text, max(width - left, 30)) or [""]
        _print(f"  {name}".ljust(left) + f"\n{' ' * left}".join(lines))
    _print("")


def _print(text: str) -> None:
    sys.stdout.write(f"{text.rstrip(' ')}\n")
