"""What mkdocs calls while it builds the site: pages from `conf/`, and words for the marks of commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from command_pages import command_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from option_pages import group_page

from tunesmith.config import find

NEEDS = {
    "data": "needs data that are not there unless you have downloaded them",
    "weights": "downloads weights",
    "gpu": "needs a GPU",
    "account": "needs an account",
    "network": "needs the network",
    "cluster": "needs a cluster, and Ray or submitit",
}
"""What a block of commands may be marked with, ``bash needs=gpu``, and what the page then says above it."""


def groups() -> list[Path]:
    """The folders of the config groups."""
    return sorted(find.package_conf() / name for name in find.group_names([find.package_conf()]))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of all commands and groups in the navigation."""
    assert config.nav is not None
    config.nav = [
        *config.nav,
        {"Commands": [{f"tunesmith {name}": f"commands/{name}.md"} for name in find.commands()]},
        {"Config groups": [{folder.name: f"groups/{folder.name}.md"} for folder in groups()]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every command and group: what is written by hand first, then what is generated."""
    for name, headline in find.commands().items():
        title = f"# tunesmith {name}\n\n{headline}\n"
        _add(files, config, f"commands/{name}.md", title, command_page(find.package_conf() / f"{name}.yaml"))
    for folder in groups():
        _add(files, config, f"groups/{folder.name}.md", f"# {folder.name}\n", group_page(folder))
    return files


def _add(files: Files, config: MkDocsConfig, uri: str, title: str, generated: str) -> None:
    written = files.get_file_from_path(uri)
    if written is not None:
        title = written.content_string
        files.remove(written)
    files.append(File.generated(config, uri, content=f"{title.rstrip()}\n\n{generated}"))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Say in words above a block what its commands need."""
    return re.sub(r"^```bash needs=(\w+)$", lambda m: f'```bash title="{NEEDS[m[1]]}"', markdown, flags=re.MULTILINE)
